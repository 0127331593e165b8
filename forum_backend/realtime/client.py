"""One follower's waiting frames: bounded, so that who reads slowly loses the connection and slows nobody."""

import asyncio
from collections import deque
from dataclasses import dataclass

WAITING_FRAMES = 256


@dataclass(frozen=True, slots=True)
class Frame:
    """An event ready to send: encoded once for all followers."""

    number: int
    type: str
    text: str


class Client:
    """Filled by its feed, emptied by its socket. While it is behind (replaying) an overflow is forgotten: it reads the
    log anyway. Once it is live an overflow is final."""

    def __init__(self, limit: int = WAITING_FRAMES) -> None:
        self._limit = limit
        self._frames: deque[Frame] = deque()
        self._arrived = asyncio.Event()
        self.is_live = False
        self.overflowed = asyncio.Event()
        self.failure: Exception | None = None

    def offer(self, frame: Frame) -> None:
        """Take a frame without waiting."""
        if len(self._frames) >= self._limit:
            self._frames.clear()
            if self.is_live:
                self.overflowed.set()
        self._frames.append(frame)
        self._arrived.set()

    def fail(self, error: Exception) -> None:
        """Nothing more will come."""
        self.failure = error
        self._arrived.set()

    async def arrived(self) -> list[Frame]:
        """Wait for frames and take all of them; raises what the feed failed with once they are taken."""
        await self._arrived.wait()
        self._arrived.clear()
        frames = list(self._frames)
        self._frames.clear()
        if not frames and self.failure is not None:
            self._arrived.set()
            raise self.failure
        return frames
