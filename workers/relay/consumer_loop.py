"""Feeds one consumer: from the streams as events arrive, from the logs where the streams have lost something."""

import logging
import threading
import time
import uuid
from typing import Any

import redis
from django.db import DatabaseError, InterfaceError, connections

from forum_backend.domain.errors import ForumError, NotFound, Unavailable
from routers.registry import registry
from workers.relay import streams
from workers.relay.consumers import Consumer, apply_events, catch_up
from workers.relay.sweep import Sweep

logger = logging.getLogger(__name__)

BLOCK_S = 0.25
COUNT = 500
PACE_S = 0.2  # a look is a durable transaction: what comes within that time shares one
HURRIED_PACE_S = 0.05  # where more is known to wait
SLOW_SWEEP_S = 5.0
RETRY_S = 1.0
START = "0-0"


class ConsumerLoop:
    """Runs in a thread of its own until ``stop``."""

    def __init__(self, consumer: Consumer, *, stop: threading.Event) -> None:
        self._consumer = consumer
        self._stop = stop
        self._sweep = Sweep(consumer)
        self._positions: dict[Any, Any] = {}
        self._generation: bytes | None = None
        self._owed: dict[int, float] = {}
        self._sweep_at = 0.0
        self._redis = streams.connect(blocking_s=BLOCK_S)

    def run(self) -> None:
        self._sweep.restart()
        try:
            while not self._stop.is_set():
                self._stop.wait(self._one_look())
        finally:
            self._redis.close()
            self._close_connections()

    def _one_look(self) -> float:
        """What has arrived, and what is due besides; returns how long to rest until the next look."""
        is_more = False
        try:
            is_more = self._follow_streams()
            self._look_behind()
        except redis.RedisError as error:
            self._rest("Redis does not answer a consumer; it goes on from the logs", error)
            self._generation = None  # what was published meanwhile may be lost: look at everything afterwards
            self._look_behind_without_redis()
        except (DatabaseError, InterfaceError, Unavailable) as error:
            self._close_connections()
            self._sweep.restart()
            self._rest("A consumer could not apply events; it tries again", error)
        return HURRIED_PACE_S if is_more or self._sweep.is_hurried else PACE_S

    def _rest(self, sentence: str, error: Exception) -> None:
        extra = {"action": "consume", "consumer": self._consumer.name, "error": type(error).__name__}
        logger.warning(sentence, extra=extra)
        self._stop.wait(RETRY_S)

    def _close_connections(self) -> None:
        for connection in connections.all(initialized_only=True):
            connection.close()

    def _follow_streams(self) -> bool:
        """Apply what has arrived; whether a stream had as much as is taken at a time."""
        self._check_generation()
        wanted = {streams.stream_of(shard) for shard in registry.aliases()}
        for stream in wanted - self._positions.keys():
            self._positions[stream] = START
        block_ms = 1 if self._sweep.is_hurried else int(BLOCK_S * 1000)
        answer: Any = self._redis.xread(self._positions, count=COUNT, block=block_ms) or []
        arrived = [(stream.decode(), entries) for stream, entries in answer]
        events = [streams.event_of(fields) for _, entries in arrived for _, fields in entries]
        gaps = apply_events(self._consumer, events)
        for stream, entries in arrived:
            self._positions[stream] = entries[-1][0]
        self._owed |= dict.fromkeys(gaps, 0.0)
        return any(len(entries) == COUNT for _, entries in arrived)

    def _check_generation(self) -> None:
        """A Redis that came back empty has another generation, or none: then the logs must be looked at."""
        found: Any = self._redis.get(streams.GENERATION_KEY)
        if found is None:
            self._redis.set(streams.GENERATION_KEY, uuid.uuid4().hex, nx=True)
            found = self._redis.get(streams.GENERATION_KEY)
        if found != self._generation:
            self._generation = found
            self._positions = {streams.stream_of(shard): self._end_of(shard) for shard in registry.aliases()}
            self._sweep.restart()

    def _end_of(self, shard: str) -> Any:
        last: Any = self._redis.xrevrange(streams.stream_of(shard), count=1)
        return last[0][0] if last else START

    def _look_behind(self) -> None:
        """A page of the sweep if it is due, and the forums that have a gap."""
        now = time.monotonic()
        if self._sweep.is_hurried or now >= self._sweep_at:
            self._sweep_at = now + SLOW_SWEEP_S
            shard = self._sweep.next_shard()
            if shard is not None:
                self._sweep_page(shard, now)
        for forum, due in list(self._owed.items()):
            if due <= now and not self._stop.is_set():
                self._catch_up(forum)

    def _look_behind_without_redis(self) -> None:
        try:
            self._look_behind()
        except (DatabaseError, InterfaceError, Unavailable) as error:
            self._close_connections()
            self._rest("A consumer could not apply events; it tries again", error)

    def _sweep_page(self, shard: str, now: float) -> None:
        try:
            self._owed |= dict.fromkeys(self._sweep.behind_on(shard), 0.0)
        except (DatabaseError, InterfaceError) as error:
            connections[shard].close()
            self._sweep_at = now + RETRY_S
            self._rest(f"{shard} was not swept; it is tried again", error)

    def _catch_up(self, forum: int) -> None:
        """A forum whose shard does not answer is owed until it does; the others go on."""
        try:
            catch_up(self._consumer, forum, is_stopping=self._stop.is_set)
        except NotFound:
            del self._owed[forum]
        except ForumError as error:
            self._owed[forum] = time.monotonic() + RETRY_S
            logger.warning(
                "A consumer has to wait for a forum's log",
                extra={"action": "consume", "forum": forum, "error": type(error).__name__},
            )
        else:
            del self._owed[forum]
