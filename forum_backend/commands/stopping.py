"""Turn Ctrl-C, SIGTERM and a closed terminal into a polite question that the main loop asks."""

import signal
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequests:
    """The first signal asks to stop, the second to hurry."""

    def __init__(self) -> None:
        self._count = 0
        # SimpleQueue and not Event: an Event that is set inside a signal handler can lock up its own thread.
        self._arrivals: SimpleQueue[int] = SimpleQueue()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._count += 1
        self._arrivals.put(number)

    def asked(self) -> bool:
        return self._count > 0

    def urgent(self) -> bool:
        return self._count > 1

    def wait(self, *, seconds: float) -> bool:
        """Wait for a request, at most so long; tells whether there was one."""
        if not self.asked():
            try:
                self._arrivals.get(timeout=seconds)
            except Empty:
                return False
        return True
