"""Threads that must not die unnoticed: a dead one is logged loudly and started again, ever more slowly."""

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
HEALTHY_AFTER_S = 60.0


class Kept:
    """A thread that is started again when it ends before it was told to."""

    def __init__(self, name: str, work: Callable[[], None], *, stop: threading.Event) -> None:
        self.name = name
        self._work = work
        self._stop = stop
        self._pause_s = FIRST_PAUSE_S
        self._due_at = 0.0
        self._started_at = 0.0
        self._thread: threading.Thread | None = None

    def check(self) -> None:
        """Start the thread if it is not running and its pause is over."""
        if self._stop.is_set() or (self._thread is not None and self._thread.is_alive()):
            return
        now = time.monotonic()
        if self._thread is not None:
            self._thread = None
            self._pause_s = FIRST_PAUSE_S if now - self._started_at > HEALTHY_AFTER_S else self._pause_s
            self._due_at = now + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        if now >= self._due_at:
            self._started_at = now
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()

    def join(self, deadline: float) -> bool:
        """Wait for the thread to end; tells whether it did."""
        if self._thread is None:
            return True
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._work()
        except Exception:
            logger.critical("A thread of the relay died; it is started again", exc_info=True,
                            extra={"action": "relay", "thread": self.name})  # fmt: skip
