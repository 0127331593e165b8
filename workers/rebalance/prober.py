"""Small durable writes on both shards, all the while a copy works: what a writer meets there; and how far replicas are.

A thread with connections of its own, for what is to be known is how long a write takes while a chunk is on its way. Its
writes touch no row and wait for no lock.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg

from forum_backend.services.ownership import Limits, connected

WRITE = "SELECT pg_logical_emit_message(true, 'forum_probe', '')"
# Replicas with what they are behind: seconds, and bytes. One that only receives (pg_receivewal) never replays: for it a
# replay_lag grows for ever. Of those that a table owner may not see everything but their number is null.
REPLICAS = """
SELECT coalesce(application_name, ''),
       coalesce(extract(epoch FROM CASE WHEN replay_lsn IS NULL THEN flush_lag ELSE replay_lag END), 0)::float8,
       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(replay_lsn, flush_lsn, write_lsn)), 0)::float8,
       state IS NULL
FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup' LIMIT 100
"""
# Every write of a forum takes ids, if only its event's; a copy takes none.
IDS = "SELECT last_value FROM routed_id_seq"
BUSY_EVERY_S, CALM_EVERY_S, LOOK_EVERY_S = 0.05, 0.01, 0.5
KEPT = 500
USUAL_SWITCH_S, SWITCH_S = sys.getswitchinterval(), 0.0005
STATEMENT_MS = 2_000
JOIN_S = 5.0
# So much log is taken for a second of lag where a replica says nothing of seconds.
BYTES_A_SECOND = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """A small write that took ``ms``; ``is_calm``: from beginning to end the copy paused."""

    shard: str
    ms: float
    is_calm: bool


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica of a shard, and how far it is behind."""

    shard: str
    name: str
    behind_s: float


class Prober:
    """Started and stopped by its mover. What breaks its thread is raised where its samples are taken.

    ``written``: the shards on which others wrote lately; where nobody does, nobody suffers.
    """

    def __init__(self, shards: tuple[str, ...]) -> None:
        self._shards = shards
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._stop = threading.Event()
        self._calm = threading.Event()
        self._error: BaseException | None = None
        self._replicas: list[Replica] = []
        self._ids: dict[str, int] = {}
        self.written: frozenset[str] = frozenset(shards)
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)

    def start(self) -> None:
        # Else what is measured is mostly how long the copy keeps the interpreter to itself.
        sys.setswitchinterval(SWITCH_S)
        self._thread.start()

    def stop(self) -> None:
        """At most as long as one statement may take."""
        self._stop.set()
        sys.setswitchinterval(USUAL_SWITCH_S)
        if self._thread.is_alive():
            self._thread.join(JOIN_S)

    def pause(self, is_calm: bool) -> None:
        """Say whether the copy pauses."""
        if is_calm:
            self._calm.set()
        else:
            self._calm.clear()

    def take(self) -> list[Sample]:
        """The samples since the last call."""
        if self._error is not None:
            raise self._error
        return [self._samples.popleft() for _ in range(len(self._samples))]

    def farthest(self) -> Replica | None:
        """The replica of either shard that is farthest behind, as far as can be seen."""
        return max(self._replicas, key=lambda replica: replica.behind_s, default=None)

    def _run(self) -> None:
        try:
            with ExitStack() as stack:
                limits = Limits(statement_ms=STATEMENT_MS)
                open_ = {shard: stack.enter_context(connected(shard, limits)) for shard in self._shards}
                looked_at = 0.0
                while not self._stop.wait(CALM_EVERY_S if self._calm.is_set() else BUSY_EVERY_S):
                    for shard, connection in open_.items():
                        self._samples.append(self._write(shard, connection))
                    if time.monotonic() - looked_at >= LOOK_EVERY_S:
                        looked_at = time.monotonic()
                        self._look(open_)
        except Exception as error:
            self._error = error

    def _look(self, open_: Mapping[str, psycopg.Connection]) -> None:
        """How far replicas are, and on which shards anybody has written since the last look."""
        self._replicas = [one for pair in open_.items() for one in replicas_of(*pair)]
        ids = {shard: int(row[0]) for shard, c in open_.items() for row in c.execute(IDS)}
        self.written = frozenset(shard for shard in ids if ids[shard] != self._ids.get(shard))
        self._ids = ids

    def _write(self, shard: str, connection: psycopg.Connection) -> Sample:
        was_calm, began = self._calm.is_set(), time.monotonic()
        connection.execute(WRITE)
        return Sample(shard, (time.monotonic() - began) * 1000, was_calm and self._calm.is_set())


def replicas_of(shard: str, connection: psycopg.Connection) -> list[Replica]:
    """Those whose state this role may see (its own, or all with pg_read_all_stats)."""
    return [
        Replica(shard, name, max(seconds, behind / BYTES_A_SECOND))
        for name, seconds, behind, is_hidden in connection.execute(REPLICAS)
        if not is_hidden
    ]
