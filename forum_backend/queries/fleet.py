"""The fleet for the planner: all shards with their loads, the heaviest forums of each, and what must stay."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.db import connections
from django.db.models import Count

from forum_backend.data.control.directory.models import Shard
from forum_backend.data.control.moves.models import Move
from forum_backend.domain.fleet import FLOOR, Fleet, ForumAt, Load, ShardAt, Stay, units_of
from forum_backend.domain.moves import COMMITTED, EXCLUSIVE, SETTLED, MoveState
from forum_backend.domain.plan import Pace
from forum_backend.queries.forum_read import ownership_on
from routers.fanout import fan_out
from routers.registry import registry

FORUMS_A_SHARD = 500
COOLING = timedelta(minutes=10)
AFTER_A_FAILURE = timedelta(minutes=1)
MOVES_LOOKED_AT = 50
ROWS_OF_A_MEASURED_COPY = 10_000

_SHARDS = """
SELECT s.name, s.state, coalesce(sum(l.rows_count), 0)::float8, coalesce(sum(l.bytes), 0)::float8,
       coalesce(sum(l.writes_s), 0), coalesce(sum(l.reads_s), 0)
FROM shard s LEFT JOIN forum_placement p ON p.shard_id = s.name AND p.deleted_at IS NULL AND p.is_ready
LEFT JOIN forum_load l ON l.forum_id = p.forum_id
WHERE s.state <> 'removed' GROUP BY s.name ORDER BY s.name
"""
_FORUMS = """
SELECT f.forum_id, s.name, f.is_pinned, f.rows_count, f.bytes, f.writes_s, f.reads_s
FROM shard s CROSS JOIN LATERAL (
    SELECT p.forum_id, p.is_pinned, coalesce(l.rows_count, 0)::float8 AS rows_count,
           coalesce(l.bytes, 0)::float8 AS bytes, coalesce(l.writes_s, 0) AS writes_s, coalesce(l.reads_s, 0) AS reads_s
    FROM forum_placement p LEFT JOIN forum_load l ON l.forum_id = p.forum_id
    WHERE p.shard_id = s.name AND p.deleted_at IS NULL AND p.is_ready
    ORDER BY p.is_pinned, coalesce(l.rows_count / %s + l.bytes / %s + l.writes_s / %s + l.reads_s / %s, 0) DESC,
        p.forum_id
    LIMIT %s
) f WHERE s.state <> 'removed' ORDER BY f.forum_id
"""
# What makes a plan stale when it changes: which forum is where, and pinned or not; states of shards; moves under way.
# No longer than a plan has room for: the first part has some 26 digits, the other one 32.
_ARRANGEMENT = """
SELECT (SELECT coalesce(sum(hashtextextended(forum_id || ' ' || shard_id || ' ' || epoch || ' ' || is_pinned, 0)), 0)
        FROM forum_placement WHERE forum_id <= %(highest)s)::text
    || ' ' || md5(concat_ws('; ',
        (SELECT string_agg(name || ' ' || state, ',' ORDER BY name) FROM shard),
        (SELECT string_agg(id::text, ',' ORDER BY id) FROM move
         WHERE state = ANY(%(exclusive)s) AND forum_id <= %(highest)s)))
"""


def read_fleet(*, now: datetime) -> Fleet:
    """The fleet as it is; shards that do not answer are in it, marked as silent."""
    registry.refresh()  # other processes may have added shards
    shards = _shards()
    units = units_of(Fleet(tuple(shards), ()), FLOOR)
    stays = _stays(now)
    with connections["default"].cursor() as cursor:
        cursor.execute(_FORUMS, [*units, FORUMS_A_SHARD])
        forums = tuple(
            ForumAt(forum, shard, Load(*load), Stay.PINNED if is_pinned else stays.get(forum))
            for forum, shard, is_pinned, *load in cursor.fetchall()
        )
    return Fleet(tuple(shards), forums, moves=Move.objects.filter(state__in=sorted(EXCLUSIVE)).count())


def _shards() -> list[ShardAt]:
    with connections["default"].cursor() as cursor:
        cursor.execute(_SHARDS)
        rows = cursor.fetchall()
    silent = set(fan_out(lambda alias: ownership_on(alias, 0), shards=[row[0] for row in rows]).missing)
    running = _running_moves()
    return [
        ShardAt(
            name,
            Load(*load),
            is_draining=state == Shard.State.DRAINING,
            answers=name not in silent,
            moves=running.get(name, 0),
        )
        for name, state, *load in rows
    ]


def _running_moves() -> dict[str, int]:
    """How many moves run from or to each shard."""
    running: dict[str, int] = {}
    for end in ("source_id", "target_id"):
        moves = Move.objects.filter(state__in=sorted(EXCLUSIVE)).order_by()
        for name, number in moves.values_list(end).annotate(number=Count("pk")):
            running[name] = running.get(name, 0) + number
    return running


def _stays(now: datetime) -> dict[int, Stay]:
    """Forums that were moved lately, whose move failed lately, or that move now; the strongest reason of each."""

    def forums_of(states: Iterable[MoveState], **more: Any) -> Iterable[int]:
        return Move.objects.filter(state__in=sorted(states), **more).order_by().values_list("forum_id", flat=True)

    # Another move would take the way back from one that can be rolled back still.
    stays = dict.fromkeys(forums_of(SETTLED), Stay.COOLING)
    stays |= dict.fromkeys(forums_of([MoveState.CLEANED], finished_at__gt=now - COOLING), Stay.COOLING)
    failed = forums_of([MoveState.ABORTED], finished_at__gt=now - AFTER_A_FAILURE)
    return stays | dict.fromkeys(failed, Stay.FAILED) | dict.fromkeys(forums_of(EXCLUSIVE), Stay.MOVING)


def read_pace() -> Pace:
    """What moves took lately; a guess where there were none."""
    done = Move.objects.filter(state__in=sorted(COMMITTED)).order_by("-pk")
    measured = list(done.values_list("window_ms", "rows_per_s", "rows_total")[:MOVES_LOOKED_AT])
    windows = [window for window, _, _ in measured if window is not None]
    # The pace of a small copy is mostly that of its beginning.
    paces = [pace for _, pace, rows in measured if pace and rows >= ROWS_OF_A_MEASURED_COPY]
    guess = Pace()
    return replace(
        guess,
        window_ms=round(median(windows), 2) if windows else guess.window_ms,
        rows_per_s=round(median(paces), 1) if paces else guess.rows_per_s,
    )


def arrangement(*, highest_forum: int) -> str:
    """A fingerprint of where the first forums are, which are pinned or on the move, and of the shards' states."""
    with connections["default"].cursor() as cursor:
        cursor.execute(_ARRANGEMENT, {"highest": highest_forum, "exclusive": sorted(EXCLUSIVE)})
        return str(cursor.fetchone()[0])
