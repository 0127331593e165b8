"""Looks again and again at who owns the forums, on all shards, past the service."""

import threading
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from tests.history.observed import Place, Sample
from tests.running import Service

EVERY_S = 0.02
LIMITS = "-c statement_timeout=2000 -c lock_timeout=2000"
CONNECT_LIMIT_S = 2
MOST_SAMPLES = 500_000
OWNERSHIP = (
    "SELECT forum_id, mode, epoch, concat_ws('/', mode, epoch, token, changed_at) FROM ownership"
    " WHERE forum_id = ANY({})"
)


def shard_addresses(service: Service) -> dict[str, str]:
    return dict(part.split("=", 1) for part in service.environment["SHARDS"].split(","))


class Sampler:
    """A thread. Servers are read one after the other, so all are read twice: when nothing changed between the two
    readings, all rows were there together at the moment between them. Other readings are thrown away.
    """

    def __init__(self, service: Service, forums: list[int]) -> None:
        self.samples: list[Sample] = []
        self.thrown_away = 0
        self.unreachable = 0
        self._addresses = shard_addresses(service)
        self._forums = forums
        self._connections: dict[str, psycopg.Connection[Any]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.died_of: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=30)
        for connection in self._connections.values():
            connection.close()

    def _run(self) -> None:
        try:
            while not self._stop.wait(EVERY_S) and len(self.samples) < MOST_SAMPLES:
                self._sample()
        except BaseException as error:
            self.died_of = error

    def _sample(self) -> None:
        try:
            first, second = self._read_all(), self._read_all()
        except psycopg.Error:  # a server that is down: the others are looked at again when it is back
            self.unreachable += 1
            return
        for forum in self._forums:
            if first[forum] == second[forum]:
                self.samples.append(Sample(forum, first[forum]))
            else:
                self.thrown_away += 1

    def _read_all(self) -> dict[int, tuple[Place, ...]]:
        found: dict[int, tuple[Place, ...]] = dict.fromkeys(self._forums, ())
        for shard in self._addresses:
            for forum, mode, epoch, stamp in self._rows(shard):
                found[forum] = (*found[forum], Place(shard, mode, epoch, stamp))
        return found

    def _rows(self, shard: str) -> list[tuple[Any, ...]]:
        connection = self._connections.get(shard)
        if connection is None or connection.closed:
            connection = psycopg.connect(
                self._addresses[shard], autocommit=True, connect_timeout=CONNECT_LIMIT_S, options=LIMITS
            )
            self._connections[shard] = connection
        return connection.execute(sql.SQL(OWNERSHIP).format(sql.Placeholder()), (self._forums,)).fetchall()
