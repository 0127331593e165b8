"""One forum's events for all its followers here: in order, each number once, a gap filled from the log once for all."""

import asyncio
import logging

import orjson

from forum_backend.domain.errors import ForumError, NotFound
from forum_backend.realtime.client import Client, Frame
from forum_backend.realtime.sources import PAGE, Source

logger = logging.getLogger(__name__)


class Feed:
    """``number`` is the last one handed on; ``seen`` the highest one heard of. Between them the log is read."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.clients: set[Client] = set()
        self._number: int | None = None
        self._seen = 0
        self._starting: asyncio.Task[None] | None = None
        self._filling: asyncio.Task[None] | None = None

    async def join(self, client: Client) -> None:
        """From here on the client gets every event newer than what anybody reads after this call returns."""
        self.clients.add(client)
        while self._number is None:
            if self._starting is None or self._starting.done():
                self._starting = asyncio.create_task(self._start())
            await asyncio.shield(self._starting)

    async def _start(self) -> None:
        self._number = await self.source.last_number()
        self._fill_if_behind()

    def arrived(self, frame: Frame) -> None:
        """An event from the stream."""
        self._seen = max(self._seen, frame.number)
        if self._number is not None and frame.number == self._number + 1 and not self._is_filling:
            self._hand_on(frame)
        else:
            self._fill_if_behind()

    def heard_of(self, number: int) -> None:
        """The log has events up to this number."""
        self._seen = max(self._seen, number)
        self._fill_if_behind()

    def close(self) -> None:
        for task in (self._starting, self._filling):
            if task is not None:
                task.cancel()

    @property
    def _is_filling(self) -> bool:
        return self._filling is not None and not self._filling.done()

    def _hand_on(self, frame: Frame) -> None:
        self._number = frame.number
        for client in self.clients:
            client.offer(frame)

    def _fill_if_behind(self) -> None:
        if self._number is not None and self._number < self._seen and not self._is_filling:
            self._filling = asyncio.create_task(self._fill(self._number))

    async def _fill(self, number: int) -> None:
        """Read the log until it has nothing more, or fails; the slow poll asks again then."""
        try:
            while number < self._seen:
                events = await self.source.page_after(number)
                for event in events:
                    self._hand_on(frame_of(event))
                if not events:
                    return
                number = events[-1]["number"]
                if len(events) == PAGE:
                    await asyncio.sleep(0)  # a turn for the sockets: a full page is not the fault of a slow reader
        except NotFound as error:
            for client in self.clients:
                client.fail(error)
        except ForumError as error:
            extra = {"action": "follow", "forum": self.source.key, "error": type(error).__name__}
            logger.warning("Followers wait: a log was not read", extra=extra)
        except Exception:
            logger.exception("Followers wait: a log was not read", extra={"action": "follow", "forum": self.source.key})


def frame_of(event: dict[str, object]) -> Frame:
    """A frame from an event's shape."""
    return Frame(int(str(event["number"])), str(event["type"]), orjson.dumps(event).decode())
