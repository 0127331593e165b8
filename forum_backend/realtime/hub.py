"""One per web process: reads all streams once and hands each event to the feed of its forum, if anybody follows it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio as redis
from django.conf import settings
from redis.exceptions import RedisError

from forum_backend.domain.errors import ForumError
from forum_backend.queries.streams import STATUS_STREAM, stream_of
from forum_backend.realtime.client import Client, Frame
from forum_backend.realtime.feed import Feed
from forum_backend.realtime.sources import STATUS, Source
from forum_backend.realtime.watching import last_numbers_of, load_shards, take_over_location
from forum_backend.services.crossing import in_service_thread
from forum_backend.services.waking import DIRECTORY_CHANNEL
from routers.registry import registry

logger = logging.getLogger(__name__)

MAX_CLIENTS = 10_000
BLOCK_S = 1.0
COUNT = 100  # below a client's bound: one read of a stream can make nobody too slow
REDIS_TIMEOUT_S = 2.0
RETRY_S = 1.0
POLL_S = 2.0
REGISTRY_S = 10.0
START = b"0-0"


class Hub:
    """The feeds, and the tasks that fill them. ``start`` and ``stop`` belong to the server's lifespan."""

    def __init__(self) -> None:
        self._feeds: dict[int, Feed] = {}
        self._clients = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._positions: dict[Any, Any] = {}
        self._poll_now = asyncio.Event()
        self._is_followed = asyncio.Event()

    async def start(self) -> None:
        """Begin to follow. Does nothing if it runs already."""
        if not self._tasks:
            self._poll_now, self._is_followed = asyncio.Event(), asyncio.Event()
            works = (self._follow_streams, self._poll, self._follow_directory, self._follow_registry)
            self._tasks = [asyncio.create_task(self._keep(work), name=work.__name__) for work in works]

    async def stop(self) -> None:
        """End all tasks; clients reconnect elsewhere."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for feed in self._feeds.values():
            feed.close()
        self._positions.clear()

    @property
    def is_full(self) -> bool:
        return self._clients >= MAX_CLIENTS

    async def join(self, source: Source, client: Client) -> None:
        """Let the client have every event newer than what is read after this."""
        await self.start()
        self._clients += 1
        feed = self._feeds.get(source.key)
        if feed is None:
            feed = self._feeds[source.key] = Feed(source)
            self._is_followed.set()
        await feed.join(client)

    def leave(self, source: Source, client: Client) -> None:
        """The client is gone; the last one closes the feed."""
        feed = self._feeds.get(source.key)
        if feed is None or client not in feed.clients:
            return
        self._clients -= 1
        feed.clients.discard(client)
        if not feed.clients:
            feed.close()
            del self._feeds[source.key]
            if not self._feeds:
                self._is_followed.clear()

    async def _keep(self, work: Callable[[], Awaitable[None]]) -> None:
        """A task that must not die unnoticed."""
        name = getattr(work, "__name__", "")
        while True:
            try:
                await work()
            except (RedisError, OSError) as error:
                extra = {"action": "follow", "task": name, "error": type(error).__name__}
                logger.warning("Redis does not answer; followers are served by polling", extra=extra)
            except ForumError as error:
                extra = {"action": "follow", "task": name, "error": type(error).__name__}
                logger.warning("A task of the hub has to wait", extra=extra)
            except Exception:
                logger.critical("A task of the hub died; it is started again", exc_info=True, extra={"task": name})
            await asyncio.sleep(RETRY_S)

    async def _follow_streams(self) -> None:
        client = _connect()
        try:
            self._positions.clear()
            while True:
                if not self._feeds:
                    self._positions.clear()
                    await self._is_followed.wait()
                await self._find_new_streams(client)
                answer: Any = await client.xread(dict(self._positions), count=COUNT, block=int(BLOCK_S * 1000))
                for stream, entries in answer or ():
                    self._positions[stream.decode()] = entries[-1][0]
                    for _, fields in entries:
                        self._hand_on(fields)
        finally:
            await client.aclose()

    async def _find_new_streams(self, client: "redis.Redis") -> None:
        """A stream that is not read yet is read from its end: what came before is in the log."""
        for stream in (STATUS_STREAM, *map(stream_of, registry.aliases())):
            if stream not in self._positions:
                last: Any = await client.xrevrange(stream, count=1)
                self._positions[stream] = last[0][0] if last else START
                self._poll_now.set()  # something may have been missed; the poll finds out what

    def _hand_on(self, fields: dict[bytes, bytes]) -> None:
        feed = self._feeds.get(int(fields.get(b"forum", STATUS)))
        if feed is not None:
            type_ = fields.get(b"type", b"").decode()
            feed.arrived(Frame(int(fields[b"number"]), type_, fields[b"payload"].decode()))

    async def _poll(self) -> None:
        """The log's word on what there is, slowly: for a Redis that is away, or has lost something."""
        while True:
            numbers = await last_numbers_of([key for key in self._feeds if key != STATUS])
            for key, number in numbers.items():
                self._heard_of(key, number)
            if STATUS in self._feeds:
                self._heard_of(STATUS, await self._feeds[STATUS].source.last_number())
            try:
                await asyncio.wait_for(self._poll_now.wait(), POLL_S)
            except TimeoutError:
                continue
            self._poll_now.clear()

    def _heard_of(self, key: int, number: int) -> None:
        feed = self._feeds.get(key)
        if feed is not None:
            feed.heard_of(number)

    async def _follow_directory(self) -> None:
        client = _connect()
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as calls:
                await calls.subscribe(DIRECTORY_CHANNEL)
                while True:
                    message = await calls.get_message(timeout=BLOCK_S)
                    if message is not None:
                        await in_service_thread(take_over_location, message["data"])
        finally:
            await client.aclose()

    async def _follow_registry(self) -> None:
        while True:
            await in_service_thread(load_shards)
            await asyncio.sleep(REGISTRY_S)


def _connect() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=BLOCK_S + REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
    )


hub = Hub()


async def start() -> None:
    """For the server's lifespan."""
    await hub.start()


async def stop() -> None:
    """For the server's lifespan."""
    await hub.stop()
