"""The two websockets, a forum's and the fleet's: first a snapshot, or what was missed, then what happens."""

import asyncio
import logging
from typing import Any
from urllib.parse import parse_qs

import orjson
from channels.generic.websocket import AsyncWebsocketConsumer

from forum_backend.domain.errors import Forbidden, ForumError, InvalidId, NotAuthenticated, NotFound
from forum_backend.domain.events import ForumDeleted
from forum_backend.domain.ids import MAX_FORUM_NUMBER
from forum_backend.domain.snapshots import needs_fresh_snapshot
from forum_backend.realtime.client import Client, Frame
from forum_backend.realtime.closing import REASONS, Close, code_of
from forum_backend.realtime.feed import frame_of
from forum_backend.realtime.hub import hub
from forum_backend.realtime.sign_in import PROTOCOL, account_at
from forum_backend.realtime.sources import PAGE, ForumSource, Source, StatusSource
from forum_backend.services.crossing import in_service_thread

logger = logging.getLogger(__name__)

FRAMES_TAKEN, FRAME_BYTES = 100, 1024
# Longer than the server's pings wait: who answers none of them is cut off by those.
CLOSE_LIMIT_S = 60.0
# Whoever missed more than this begins anew: a snapshot costs less than a long history.
MOST_REPLAYED = 1_000
# A socket outlives what was true of its account when it was opened.
STAFF_EVERY_S = 30.0


def refusal_to_resume(*, after: int, last: int) -> str | None:
    """Why a client cannot go on from ``after`` and is given a snapshot instead; None if it can."""
    if after > last:
        return "ahead"
    return "behind" if last - after > MOST_REPLAYED else None


class LiveSocket(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Follows one source from ``?after=N``; the order of numbers is kept by ``_last``, the last one sent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._client = Client()
        self._last = 0
        self._taken = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def source(self) -> Source:
        raise NotImplementedError

    async def connect(self) -> None:
        offered = [name for name in self.scope.get("subprotocols", ()) if name.startswith(PROTOCOL)]
        await self.accept(subprotocol=offered[0] if offered else None)
        serving = asyncio.create_task(self._serve())
        self._tasks = [serving, asyncio.create_task(self._drop_if_too_slow(serving))]

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Clients have nothing to say here; a few small frames are overlooked."""
        self._taken += 1
        if self._taken > FRAMES_TAKEN or len(text_data or bytes_data or "") > FRAME_BYTES:
            await self._end(Close.NOT_TAKEN)

    async def disconnect(self, code: int) -> None:
        for task in self._tasks:
            task.cancel()

    async def _drop_if_too_slow(self, serving: asyncio.Task[None]) -> None:
        """Somebody who does not read may hold up ``serving`` inside a write: it ends wherever it is."""
        await self._client.overflowed.wait()
        serving.cancel()
        await self._end(Close.TOO_SLOW)

    async def _serve(self) -> None:
        try:
            await self._follow(await self.source())
        except ForumError as error:
            await self._end_for(error)
        except (ConnectionError, RuntimeError):
            logger.info("A websocket went away while it was written to", extra={"action": "follow"})
        except Exception:
            logger.exception("A websocket failed", extra={"action": "follow"})
            await self._end(Close.INTERNAL, error="internal")

    async def _follow(self, source: Source) -> None:
        after = self._after()
        if after == -1:
            await self._end(Close.BAD_REQUEST, error="invalid")
            return
        if hub.is_full:
            await self._end(Close.FULL)
            return
        try:
            await hub.join(source, self._client)
            await self._begin(source, after)
            await self._go_on(source)
        finally:
            hub.leave(source, self._client)

    def _after(self) -> int | None:
        """The number to resume after; None if there is none, -1 if it is no number."""
        text = parse_qs(self.scope["query_string"].decode("latin-1")).get("after", [None])[0]
        if text is None:
            return None
        return int(text) if text.isascii() and text.isdigit() and len(text) < 13 else -1

    async def _begin(self, source: Source, after: int | None) -> None:
        refusal = None if after is None else refusal_to_resume(after=after, last=await source.last_number())
        if refusal is not None:
            await self._send({"type": "error", "code": refusal})
        if after is None or refusal is not None:
            await self._send_snapshot(source)
        else:
            self._last = after
            await self._replay(source)

    async def _send_snapshot(self, source: Source) -> None:
        number, data = await source.snapshot()
        await self._send({"type": "snapshot", "number": number, "data": data})
        self._last = max(self._last, number)

    async def _replay(self, source: Source) -> None:
        """Send what the log has after the last number sent."""
        while True:
            events = await source.page_after(self._last)
            for event in events:
                await self._send_event(source, frame_of(event))
            if len(events) < PAGE:
                return

    async def _go_on(self, source: Source) -> None:
        while True:
            self._client.is_live = True
            for frame in await self._client.arrived():
                if frame.number > self._last + 1:
                    self._client.is_live = False  # what piles up while the log is read is not the client's fault
                    await self._replay(source)
                if frame.number == self._last + 1:
                    await self._send_event(source, frame)

    async def _send_event(self, source: Source, frame: Frame) -> None:
        await self._send_text(frame.text)
        self._last = frame.number
        if frame.type == ForumDeleted.type:
            raise NotFound("forum", source.key)
        if needs_fresh_snapshot(frame.type):
            await self._send_snapshot(source)

    async def _send(self, frame: dict[str, Any]) -> None:
        await self._send_text(orjson.dumps(frame).decode())

    async def _send_text(self, text: str) -> None:
        await self.send(text_data=text)

    async def _end_for(self, error: ForumError) -> None:
        code, name = code_of(error)
        await self._end(code, error=name)

    async def _end(self, code: Close, *, error: str | None = None) -> None:
        """Say why and close; somebody who reads nothing at all is not waited for longer than a moment."""
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                if error is not None:
                    await self._send({"type": "error", "code": error})
                await self.close(code=int(code), reason=REASONS[code])
        except TimeoutError:
            logger.info("A client read nothing; its connection is dropped", extra={"action": "follow"})


class ForumSocket(LiveSocket):
    """`/ws/forums/{id}`: public."""

    async def source(self) -> Source:
        text = self.scope["url_route"]["kwargs"]["forum"]
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
        if not 1 <= number <= MAX_FORUM_NUMBER:
            raise InvalidId(text)
        return ForumSource(number)


class StatusSocket(LiveSocket):
    """`/ws/status`: for staff, and only as long as they are."""

    async def connect(self) -> None:
        await super().connect()
        self._tasks.append(asyncio.create_task(self._drop_if_no_longer_staff(self._tasks[0])))

    async def source(self) -> Source:
        await self._refuse_others()
        return StatusSource()

    async def _refuse_others(self) -> None:
        account = await in_service_thread(account_at, dict(self.scope))
        if not account.is_staff:
            raise Forbidden

    async def _drop_if_no_longer_staff(self, serving: asyncio.Task[None]) -> None:
        """Who was let in stays while nobody can be asked, as with the control database away."""
        while True:
            await asyncio.sleep(STAFF_EVERY_S)
            try:
                await self._refuse_others()
            except (Forbidden, NotAuthenticated) as error:
                serving.cancel()
                await self._end_for(error)
                return
            except Exception as error:
                extra = {"action": "follow", "error": type(error).__name__}
                logger.warning("Whether a follower is staff was not to be found out", extra=extra)
