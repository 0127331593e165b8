"""The load of each forum: rows and bytes estimated, writes and reads a second as moving averages.

Writes are what the relay counts (the growth of a forum's last event number), reads what web processes count in memory.
A run measures one page of forums a shard, with one query there; the next run goes on, and begins anew at the end.
"""

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, InterfaceError, connections

from forum_backend.data.control.directory.models import ForumLoad, ForumPlacement, Shard
from forum_backend.domain.fleet import moving_average
from forum_backend.queries.reads import read_counts
from routers.fanout import fan_out
from routers.registry import registry

logger = logging.getLogger(__name__)

FORUMS_A_RUN = 1_000  # of each shard
MEMORY_S = 300.0
FLUSH_S = 5.0
READS_AT_ONCE = 5_000

# From the relay's counters: a row for each event, and one for what each was about, unless that came with an import.
_ROWS = "2 + c.last_number + greatest(c.last_number, c.threads_count::bigint + c.posts_count)"
# A table's size for each of its rows; of a table that was never analysed no more than LARGEST_ROW is believed.
LARGEST_ROW = 4_000
_MEASURE = f"""
WITH size AS (
    SELECT relname, least(pg_total_relation_size(relid)::float / greatest(n_live_tup, 1), %(largest)s) AS each
    FROM pg_stat_user_tables WHERE schemaname = 'public' AND relname IN ('thread', 'post', 'forum_event')
)
SELECT c.forum_id, c.last_number, {_ROWS},
       (c.threads_count * (SELECT each FROM size WHERE relname = 'thread')
        + c.posts_count * (SELECT each FROM size WHERE relname = 'post')
        + c.last_number * (SELECT each FROM size WHERE relname = 'forum_event'))::bigint
FROM forum_counters c JOIN ownership o ON o.forum_id = c.forum_id AND o.mode IN ('owner', 'fenced')
WHERE c.forum_id > %(after)s ORDER BY c.forum_id LIMIT %(limit)s
"""  # noqa: S608 - a constant is put in
_ESTIMATE = f"SELECT {_ROWS} FROM forum_counters c WHERE c.forum_id = %s"  # noqa: S608 - as above
_ADD_READS = """
INSERT INTO forum_load (forum_id, rows_count, bytes, writes_s, reads_s, reads_count, last_number, last_reads_count)
SELECT forum_id, 0, 0, 0, 0, reads, 0, 0
FROM unnest(%s::int[], %s::bigint[]) AS counted (forum_id, reads) JOIN forum_placement USING (forum_id)
ORDER BY forum_id ON CONFLICT (forum_id) DO UPDATE SET reads_count = forum_load.reads_count + excluded.reads_count
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a shard says of one of its forums."""

    forum: int
    last_number: int
    rows: int
    bytes: int


def measure_loads(*, now: datetime) -> list[str]:
    """Measure the next page of forums of every shard that answers; returns the names of the silent ones."""
    registry.refresh()
    positions = dict(Shard.objects.values_list("name", "forums_measured_to"))
    measured = fan_out(lambda alias: _measure(alias, after=positions.get(alias, 0)))
    for shard, forums in measured.answers.items():
        _store(forums, now=now)
        is_last = len(forums) < FORUMS_A_RUN
        Shard.objects.filter(pk=shard).update(forums_measured_to=0 if is_last else forums[-1].forum)
    return measured.missing


def _measure(alias: str, *, after: int) -> list[Measured]:
    with connections[alias].cursor() as cursor:
        cursor.execute(_MEASURE, {"after": after, "limit": FORUMS_A_RUN, "largest": LARGEST_ROW})
        return [Measured(*row) for row in cursor.fetchall()]


def estimated_rows(alias: str, forum: int) -> int:
    """About how many rows a forum has on a shard, at once however many there are."""
    with connections[alias].cursor() as cursor:
        cursor.execute(_ESTIMATE, [forum])
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def _store(measured: Sequence[Measured], *, now: datetime) -> None:
    numbers = [forum.forum for forum in measured]
    before = ForumLoad.objects.in_bulk(numbers)
    known = set(ForumPlacement.objects.filter(pk__in=numbers, deleted_at=None).values_list("pk", flat=True))
    loads = [_load(forum, before.get(forum.forum), now=now) for forum in measured if forum.forum in known]
    # Without reads_count: web processes add to it at any moment.
    ForumLoad.objects.bulk_create(
        loads,
        update_conflicts=True,
        unique_fields=["forum"],
        update_fields=["rows_count", "bytes", "writes_s", "reads_s", "last_number", "last_reads_count", "measured_at"],
    )


def _load(measured: Measured, before: ForumLoad | None, *, now: datetime) -> ForumLoad:
    """The new load; rates need two measurements, so the first one only begins them."""
    load = before or ForumLoad(forum_id=measured.forum)
    if load.measured_at is not None and now > load.measured_at:
        elapsed_s = (now - load.measured_at).total_seconds()
        written = max(0, measured.last_number - load.last_number)
        read = max(0, load.reads_count - load.last_reads_count)
        load.writes_s = _averaged(load.writes_s, written, elapsed_s)
        load.reads_s = _averaged(load.reads_s, read, elapsed_s)
    load.rows_count, load.bytes = measured.rows, measured.bytes
    load.last_number, load.last_reads_count, load.measured_at = measured.last_number, load.reads_count, now
    return load


def _averaged(before: float, counted: int, elapsed_s: float) -> float:
    return moving_average(before, rate=counted / elapsed_s, elapsed_s=elapsed_s, memory_s=MEMORY_S)


def flush_reads() -> int:
    """Add what this process counted to the control database; how many forums. What fails is counted on."""
    counted = sorted(read_counts.take().items())
    for begin in range(0, len(counted), READS_AT_ONCE):
        page = counted[begin : begin + READS_AT_ONCE]
        try:
            with connections["default"].cursor() as cursor:
                cursor.execute(_ADD_READS, [[forum for forum, _ in page], [reads for _, reads in page]])
        except BaseException:
            read_counts.give_back(counted[begin:])
            raise
    return len(counted)


class ReadFlusher:
    """A thread that flushes what this process counted, now and then. Its connection is open only while it does."""

    def __init__(self, *, every_s: float = FLUSH_S) -> None:
        self._every_s = every_s
        self._stop = threading.Event()
        self._pid = 0

    def start(self) -> None:
        """Start the thread of this process, once; it ends with the process."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._stop = threading.Event()
            threading.Thread(target=self._run, args=(self._stop,), name="reads", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        self._pid = 0

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._every_s):
            try:
                flush_reads()
            except (DatabaseError, InterfaceError) as error:
                extra = {"action": "reads", "error": type(error).__name__}
                logger.warning("The control database did not take the counts of reads; they are kept", extra=extra)
            finally:
                connections["default"].close()


read_flusher = ReadFlusher()
