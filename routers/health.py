"""Which shards do not answer: a server that is down is asked again after a moment, not by every request."""

import threading
import time

from forum_backend.domain.errors import ShardUnavailable

PAUSE_S = 0.5


class ShardHealth:
    """After a failed connection a shard is left alone for ``PAUSE_S``; then one caller tries, the others still wait."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._down_until: dict[str, float] = {}
        self._lock = threading.Lock()

    def refuse_if_down(self, shard: str) -> None:
        """Raise ``ShardUnavailable`` at once for a shard that failed a moment ago."""
        if shard not in self._down_until:
            return
        with self._lock:
            until = self._down_until.get(shard)
            if until is None:
                return
            if time.monotonic() < until:
                raise ShardUnavailable(shard)
            self._down_until[shard] = time.monotonic() + self._pause_s  # this caller tries, the next ones wait

    def is_down(self, shard: str) -> bool:
        """Whether the last attempt to reach the shard failed."""
        return shard in self._down_until

    def failed(self, shard: str) -> None:
        """The shard did not answer."""
        with self._lock:
            self._down_until[shard] = time.monotonic() + self._pause_s

    def answered(self, shard: str) -> None:
        """The shard answered."""
        if shard in self._down_until:
            with self._lock:
                self._down_until.pop(shard, None)


health = ShardHealth()
