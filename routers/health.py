"""Which shards do not answer: a server that is down is asked again after a moment, not by every request."""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.db import connections

from forum_backend.domain.errors import ShardUnavailable

PAUSE_S = 0.5
# Longer than an attempt to connect may take: who tries reports what came of it, or this runs out.
TRIAL_S = 4.0
PLACE_WAIT_S = 2.0


def places_for(threads: int) -> int:
    """How many of the service threads may be busy with one shard."""
    return max(1, threads - max(1, threads // 4))


def drop_if_hung_up(alias: str) -> None:
    """Close this thread's kept connection if its server has ended it: the next query opens a new one.

    For a connection that waits for no answer. A look at its socket, no round trip: a server that goes away says so
    there, or its kernel does, and an idle session hears nothing else that would be missed.
    """
    kept = connections[alias].connection
    if kept is not None and (kept.closed or _has_something_to_read(kept)):
        connections[alias].close()


def _has_something_to_read(connection: psycopg.Connection[Any]) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class ShardHealth:
    """After a failed connection a shard is left alone for ``PAUSE_S``; then one caller tries, the others still wait."""

    def __init__(
        self, *, pause_s: float = PAUSE_S, places: int | None = None, place_wait_s: float = PLACE_WAIT_S
    ) -> None:
        self._pause_s = pause_s
        self._number_of_places = places
        self._place_wait_s = place_wait_s
        self._down_until: dict[str, float] = {}
        self._places: dict[str, threading.BoundedSemaphore] = {}
        self._lock = threading.Lock()

    @contextmanager
    def place_at(self, shard: str) -> Iterator[None]:
        """Room for one call at a shard. ``ShardUnavailable`` if it is down, or if no place gets free in time.

        A server that hangs without a word keeps the threads that wait for it: these may not be all there are, for the
        others have to serve all other shards.
        """
        self.refuse_if_down(shard)
        places = self._places.get(shard)
        if places is None:
            number = self._number_of_places or places_for(settings.SERVICE_THREADS)
            places = self._places.setdefault(shard, threading.BoundedSemaphore(number))
        if not places.acquire(timeout=self._place_wait_s):
            self.failed(shard)
            raise ShardUnavailable(shard)
        try:
            yield
        finally:
            places.release()

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
            self._down_until[shard] = time.monotonic() + TRIAL_S  # this caller tries, the next ones wait

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
