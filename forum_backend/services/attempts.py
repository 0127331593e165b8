"""How often one address, or one name, may try to register or sign in a minute: bounded memory, in this process."""

import math
import threading
import time

from cachetools import TTLCache
from django.conf import settings

from forum_backend.domain.errors import TooManyRequests

WINDOW_S = 60
KEPT = 50_000


class AttemptLimit:
    """Counts attempts in windows of a minute, each beginning with the first attempt."""

    def __init__(self) -> None:
        self._counts: TTLCache[tuple[str, str], list[float]] = TTLCache(KEPT, WINDOW_S)
        self._lock = threading.Lock()

    def count(self, kind: str, who: str, *, limit: int) -> None:
        """One more attempt; ``TooManyRequests`` says when to come back."""
        now = time.monotonic()
        with self._lock:
            entry = self._counts.get((kind, who))
            if entry is None:
                entry = self._counts[(kind, who)] = [now, 0.0]
            entry[1] += 1
            if entry[1] > limit:
                raise TooManyRequests(retry_after_s=max(1, math.ceil(WINDOW_S - (now - entry[0]))))


attempts = AttemptLimit()


def count_attempt(*, address: str, username: str) -> None:
    """An attempt to register or sign in, counted against the address it came from and the name it is for."""
    limit = settings.SIGN_IN_ATTEMPTS_PER_MINUTE
    attempts.count("address", address, limit=limit)
    attempts.count("name", username.lower()[:150], limit=max(1, limit // 10))
