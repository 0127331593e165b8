"""Waiting at the fences of moving forums: a few at a time, the others in a queue on the event loop.

Who waits at a gate holds a service thread, and the others must stay free for all other forums. So a call from the
event loop that meets a fence comes back at once (``GateClosed``) and is made again when it has one of a few places: if
the fence still stands then, it waits there. Who calls from a thread of its own waits in that.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from django.conf import settings

from forum_backend.domain.errors import ForumMoving

# Until when this call waits at gates, in monotonic seconds: ``NOT_HERE`` for one that comes back, None without a place.
NOT_HERE = float("-inf")
waits_until: ContextVar[float | None] = ContextVar("waits_until", default=None)


class GateClosed(ForumMoving):
    """The call met a fence, and has written nothing: it can be made again from a place to wait in."""


def deadline() -> float:
    """Until when a write that begins now waits at gates, in monotonic seconds; ``NOT_HERE`` if it must not."""
    until = waits_until.get()
    return time.monotonic() + settings.MOVE_WAIT_LIMIT_MS / 1000 if until is None else until


class GatePlaces:
    """So many calls wait at gates at once, and so many more for their turn; of one event loop, as the process is."""

    def __init__(self, places: int, queue: int) -> None:
        self._limit = places + queue
        self._places = asyncio.Semaphore(places)
        self.waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[float]:
        """A place, in turn; gives the time until which to wait in it. ``ForumMoving`` if too many wait already.

        Whose turn does not come in time goes without a place, and with no time left to wait: the fence may be gone.
        """
        if self.waiting >= self._limit:
            raise ForumMoving
        limit_s = settings.MOVE_WAIT_LIMIT_MS / 1000
        until = time.monotonic() + limit_s
        self.waiting += 1
        try:
            has_place = await self._has_place(limit_s)
            try:
                yield until
            finally:
                if has_place:
                    self._places.release()
        finally:
            self.waiting -= 1

    async def _has_place(self, limit_s: float) -> bool:
        try:
            return await asyncio.wait_for(self._places.acquire(), limit_s)
        except TimeoutError:
            return False


gate_places = GatePlaces(max(1, settings.SERVICE_THREADS // 2), settings.SERVICE_QUEUE)
