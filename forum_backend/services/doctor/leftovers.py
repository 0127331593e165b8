"""What earlier attempts left on a shard: rows, logs, fences and notes that no move owns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg

from forum_backend.domain.findings import Finding, Severity
from forum_backend.domain.moves import OwnershipMode
from forum_backend.services.forum_rows import FORUM_TABLES

MOST = 1_000
# A fence stands for milliseconds while its mover lives, and its gate is closed before it.
SETTLING_S = 2.0

# The high half of forum_gate_key's number.
GATE_CLASS = 1178946633
_HAS_ROWS = " OR ".join(f"EXISTS (SELECT FROM {table.name} r WHERE r.forum_id = c.forum)" for table in FORUM_TABLES)
# Forums of which a shard says more than "mine" or nothing: the newest ones, a bounded number of each kind. The log is
# walked from forum to forum by its index.
_CANDIDATES = """
WITH RECURSIVE logged AS (
    (SELECT forum_id FROM changed_row ORDER BY forum_id LIMIT 1)
    UNION ALL
    SELECT (SELECT c.forum_id FROM changed_row c WHERE c.forum_id > l.forum_id ORDER BY c.forum_id LIMIT 1)
    FROM logged l WHERE l.forum_id IS NOT NULL
), candidate (forum) AS (
    (SELECT forum_id FROM ownership WHERE mode <> 'owner' OR capture ORDER BY changed_at DESC LIMIT %(most)s)
    UNION (SELECT forum_id FROM logged WHERE forum_id IS NOT NULL LIMIT %(most)s)
    UNION (SELECT DISTINCT forum_id FROM copy_progress LIMIT %(most)s)
    UNION (SELECT f.forum_id FROM forum f LEFT JOIN ownership o USING (forum_id) WHERE o.forum_id IS NULL
           LIMIT %(most)s)
)
"""
_ONE = "WITH candidate (forum) AS (VALUES (%(forum)s::int))"
_FACTS = f"""
SELECT c.forum, coalesce(o.mode, 'absent'), coalesce(o.epoch, 0), coalesce(o.capture, false),
       coalesce(extract(epoch FROM clock_timestamp() - o.changed_at), 0)::float8,
       {_HAS_ROWS}, EXISTS (SELECT FROM changed_row r WHERE r.forum_id = c.forum),
       EXISTS (SELECT FROM copy_progress r WHERE r.forum_id = c.forum),
       EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = %(class)s AND l.objid = c.forum
               AND l.objsubid = 1 AND l.granted)
FROM candidate c LEFT JOIN ownership o ON o.forum_id = c.forum
"""  # noqa: S608 - names of our own tables


@dataclass(frozen=True, slots=True)
class Traces:
    """What one shard has of one forum."""

    forum: int
    mode: str
    epoch: int
    capture: bool
    changed_s: float
    has_rows: bool
    has_log: bool
    has_notes: bool
    is_gate_closed: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """A move that may explain traces: it runs, or ended a moment ago, or its rows are being taken away."""

    move: int
    forum: int
    shards: frozenset[str]


def read_traces(connection: psycopg.Connection, *, forum: int | None) -> tuple[Traces, ...]:
    """Of one forum, or of all that are more than simply owned."""
    query = (_CANDIDATES if forum is None else _ONE) + _FACTS
    rows = connection.execute(query, {"forum": forum, "most": MOST, "class": GATE_CLASS})
    return tuple(Traces(*row) for row in rows)


def unexplained(shard: str, found: Sequence[Traces], attempts: Sequence[Attempt]) -> Iterator[Finding]:
    """Traces that no move accounts for."""
    explained = {attempt.forum for attempt in attempts if shard in attempt.shards}
    for traces in found:
        if traces.mode == OwnershipMode.FENCED and not traces.is_gate_closed and traces.changed_s > SETTLING_S:
            yield Finding(
                code="fence_without_mover", severity=Severity.STOPS, shard=shard, forum=traces.forum,
                found=f"The forum has been fenced for {traces.changed_s:.0f} s, and nobody holds its gate",
                advice="The next write or a Celery worker settles it; if its move is over: manage.py shards reconcile",
            )  # fmt: skip
        if traces.forum not in explained:
            yield from _of_no_move(shard, traces)


def _of_no_move(shard: str, traces: Traces) -> Iterator[Finding]:
    def left(code: str, severity: Severity, found: str, advice: str) -> Finding:
        return Finding(
            code=code, severity=severity, shard=shard, forum=traces.forum, found=found, advice=advice
        )  # fmt: skip

    is_serving = traces.mode in {OwnershipMode.OWNER, OwnershipMode.FENCED}
    if traces.has_rows and not is_serving:
        yield left(
            "rows_of_nobody", Severity.SLOWS, f"The shard is {traces.mode} for the forum, has rows of it, and no move",
            "A move of the forum to this shard deletes them first",
        )  # fmt: skip
    if traces.capture or traces.has_log:
        yield left(
            "log_of_nobody", Severity.SLOWS,
            "Changes are logged for no move" if traces.capture else "changed_row has entries of no move",
            "The forum's next move off this shard ends it; until then the log grows",
        )  # fmt: skip
    if traces.mode == OwnershipMode.INCOMING:
        yield left(
            "incoming_of_nobody", Severity.NOTE, "The shard expects the forum, and no move brings it",
            "Nothing: the next move to this shard begins anew",
        )  # fmt: skip
    if traces.has_notes:
        yield left(
            "notes_of_nobody", Severity.NOTE, "copy_progress has notes of no move", "Nothing: a move begins anew"
        )
