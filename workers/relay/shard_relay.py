"""The relay of one shard: wakes, numbers what waits, publishes it, sleeps. One thread, one lease."""

import logging
import threading
import time
from typing import Any

import psycopg
from django.db import connections

from forum_backend.services.waking import WATCH_S
from routers.limited import LimitedConnection
from routers.refusals import is_connection_lost
from workers.relay import numbering
from workers.relay.lease import LEASE_S, Lease, LeaseLost, take
from workers.relay.numbering import Round, number_waiting
from workers.relay.publishing import Publisher

logger = logging.getLogger(__name__)

POLL_S = LEASE_S / 3
# While it watches, a relay looks this often for what nobody called it for; what comes in a rush is numbered together.
LOOK_S = 0.002
# When it finds a gate closed it does nothing for so long, whoever calls: the mover needs the processor for its fence.
REST_AT_GATE_S = 0.1
LOOK_SQL = "SELECT EXISTS (SELECT FROM outbox WHERE forum_id <> ALL(%s::int[]))"
FIRST_RETRY_S = 0.02
RECONNECT_S = 0.5
ROUNDS_AT_A_TIME = 100
# A forum whose rows are locked for a moment, and one whose events cannot be numbered at all.
BRIEFLY_ASIDE_S, LONG_ASIDE_S = 0.2, 30.0
BRIEF_STATES = frozenset({"55P03", "40P01", "40001", "57014"})
LOCAL = {
    "lock_timeout": "300ms",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",  # planning a round anew takes as long as the round itself
}


class ShardRelay:
    """Runs in a thread of its own until ``stop``; a shard that does not answer is tried again and holds up no other."""

    def __init__(self, shard: str, *, holder: str, stop: threading.Event) -> None:
        self.shard = shard
        self.bell = threading.Event()
        self._holder = holder
        self._stop = stop
        self._aside: dict[int, float] = {}
        self._retry_s = FIRST_RETRY_S
        self._watching_until = 0.0
        self._left: frozenset[int] = frozenset()

    def run(self) -> None:
        try:
            while not self._stop.is_set():
                self._one_connection()
        finally:
            connections[self.shard].close()

    def _one_connection(self) -> None:
        try:
            with self._connect() as connection:
                self._work(connection)
        except (psycopg.Error, OSError) as error:
            if isinstance(error, psycopg.Error) and not is_connection_lost(error):
                raise
            connections[self.shard].close()
            logger.warning(
                "A shard does not answer its relay; it is tried again",
                extra={"action": "relay", "shard": self.shard, "error": type(error).__name__},
            )
            self._stop.wait(RECONNECT_S)

    def _connect(self) -> LimitedConnection:
        return LimitedConnection.open(self.shard, local=LOCAL, prepare_after=2)

    def _work(self, connection: psycopg.Connection[Any]) -> None:
        publisher = Publisher(self.shard)
        lease: Lease | None = None
        try:
            while not self._stop.is_set():
                self.bell.clear()
                lease = lease or take(connection, holder=self._holder)
                pause_s = POLL_S
                if lease is not None:
                    try:
                        pause_s = self._drain(connection, lease, publisher)
                    except LeaseLost:
                        logger.warning("Another relay took over", extra={"action": "relay", "shard": self.shard})
                        publisher.fail()
                        lease = None
                self._wait(connection, pause_s)
            if lease is not None:
                lease.release(connection)
        finally:
            publisher.close()

    def _wait(self, connection: psycopg.Connection[Any], pause_s: float) -> None:
        """Until the bell rings, or the pause is over; while it watches, also until there is something."""
        while not self._stop.is_set() and pause_s > LOOK_S and time.monotonic() < self._watching_until:
            if self.bell.wait(LOOK_S) or self._sees_something(connection):
                return
        if self.bell.wait(pause_s):
            self._watching_until = time.monotonic() + WATCH_S

    def _sees_something(self, connection: psycopg.Connection[Any]) -> bool:
        """Asked often, and waits for nobody: by a cursor, which is quicker than a connection with limits."""
        return connection.cursor().execute(LOOK_SQL, [sorted(self._left)]).fetchone() == (True,)

    def _drain(self, connection: psycopg.Connection[Any], lease: Lease, publisher: Publisher) -> float:
        """Number and publish until nothing waits; returns how long to sleep at most."""
        left: frozenset[int] = frozenset(self._set_aside())
        for _round in range(ROUNDS_AT_A_TIME):
            done = self._number(connection, lease, left)
            left = done.left
            if done.events:
                self._watching_until = time.monotonic() + WATCH_S
            self._publish(connection, lease, publisher, done)
            if self._stop.is_set() or not (done.is_more or publisher.is_behind):
                break
        if left - self._left - self._aside.keys():
            self._stop.wait(REST_AT_GATE_S)
        self._left = left
        return self._pause(left)

    def _number(self, connection: psycopg.Connection[Any], lease: Lease, left: frozenset[int]) -> Round:
        try:
            return number_waiting(connection, lease, left=left)
        except psycopg.Error as error:
            if is_connection_lost(error):
                raise
            return self._one_by_one(connection, lease, left)

    def _one_by_one(self, connection: psycopg.Connection[Any], lease: Lease, left: frozenset[int]) -> Round:
        """A batch was refused: find the forum it was for, set it aside, and let the others pass."""
        first = connection.execute(numbering.WAITING_SQL, [sorted(left), 1]).fetchone()
        if first is None:
            return Round([], left, False, False)
        try:
            done = number_waiting(connection, lease, left=left, batch=1)
        except psycopg.Error as error:
            if is_connection_lost(error):
                raise
            is_brief = error.sqlstate in BRIEF_STATES
            self._aside[first[1]] = time.monotonic() + (BRIEFLY_ASIDE_S if is_brief else LONG_ASIDE_S)
            logger.log(
                logging.INFO if is_brief else logging.ERROR,
                "Events of a forum could not be numbered; it is set aside",
                extra={"action": "relay", "shard": self.shard, "forum": first[1], "sqlstate": error.sqlstate},
            )
            return Round([], left | {first[1]}, True, False)
        return Round(done.events, done.left, True, done.is_unannounced)

    def _publish(self, connection: psycopg.Connection[Any], lease: Lease, publisher: Publisher, done: Round) -> None:
        try:
            publisher.publish(connection, lease, done.events)
            if done.is_unannounced:
                publisher.announce(connection)
        except psycopg.Error:
            publisher.fail()
            raise
        except Exception:
            publisher.fail()
            connections.close_all()  # this thread's; authors come from other databases
            logger.exception("Events were not published", extra={"action": "publish", "shard": self.shard})

    def _set_aside(self) -> list[int]:
        now = time.monotonic()
        self._aside = {forum: until for forum, until in self._aside.items() if until > now}
        return list(self._aside)

    def _pause(self, left: frozenset[int]) -> float:
        """Look again soon while forums were left (a fence lasts milliseconds), ever more slowly if they stay left."""
        self._retry_s = min(self._retry_s * 2, POLL_S) if left else FIRST_RETRY_S
        return self._retry_s if left else POLL_S
