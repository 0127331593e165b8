"""The numbered history of a forum as it is stored: what consumers count with, in order, without a gap."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.db import connections

from forum_backend.domain.ids import FORUM_BITS
from forum_backend.queries.forum_read import forum_read


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """A stored event with its number; ``data`` holds the facts, not what readers see of the row."""

    forum_id: int
    number: int
    type: str
    subject_id: int
    data: dict[str, Any]
    at: datetime

    @property
    def id(self) -> int:
        """The event's primary key in the log."""
        return (self.number << FORUM_BITS) | self.forum_id


HISTORY_SQL = """
SELECT id >> 23, forum_id, type, subject_id, data, at FROM forum_event
WHERE id = ANY(SELECT (n << 23) | %(forum)s FROM generate_series(%(after)s + 1, %(after)s + %(limit)s::bigint) AS n)
ORDER BY id
"""

OWNED_SQL = """
SELECT o.forum_id, coalesce(c.last_number, 0) FROM ownership o LEFT JOIN forum_counters c ON c.forum_id = o.forum_id
WHERE o.forum_id = ANY(%s) AND o.mode IN ('owner', 'fenced')
"""


def history_after(forum_id: int, *, after: int, limit: int) -> list[LoggedEvent]:
    """The next ``limit`` events of a forum after number ``after``, from the shard that owns it now."""
    return forum_read(forum_id, lambda shard: history_on(shard, forum_id, after=after, limit=limit))


def history_on(shard: str, forum_id: int, *, after: int, limit: int) -> list[LoggedEvent]:
    """As ``history_after``, of what this shard has."""
    if not 0 <= after < 1 << (62 - FORUM_BITS):
        return []
    with connections[shard].cursor() as cursor:
        cursor.execute(HISTORY_SQL, {"forum": forum_id, "after": after, "limit": limit})
        return [logged(row) for row in cursor.fetchall()]


def logged(row: tuple[Any, ...]) -> LoggedEvent:
    """From a row (number, forum, type, subject, data, at); Django hands JSON over as text."""
    number, forum, type_, subject, data, at = row
    facts = orjson.loads(data) if isinstance(data, str) else data
    return LoggedEvent(forum_id=forum, number=number, type=type_, subject_id=subject, data=facts, at=at)


def last_numbers(shard: str, forums: list[int]) -> dict[int, int]:
    """The last number given in each of these forums, as far as they live on this shard; one query for all."""
    with connections[shard].cursor() as cursor:
        cursor.execute("SELECT forum_id, last_number FROM forum_counters WHERE forum_id = ANY(%s)", [forums])
        return dict(cursor.fetchall())


def owned_last_numbers(shard: str, forums: list[int]) -> dict[int, int]:
    """As ``last_numbers``, of those among the forums that this shard may answer for."""
    with connections[shard].cursor() as cursor:
        cursor.execute(OWNED_SQL, [forums])
        return dict(cursor.fetchall())


def last_number_of(forum_id: int) -> int:
    """The last number given in a forum; 0 before the first event."""
    return forum_read(forum_id, lambda shard: last_numbers(shard, [forum_id])).get(forum_id, 0)


def numbers_from(shard: str, *, after_forum: int, limit: int) -> list[tuple[int, int]]:
    """A page of (forum, last number) over all forums of a shard, by forum number."""
    with connections[shard].cursor() as cursor:
        cursor.execute(
            "SELECT forum_id, last_number FROM forum_counters WHERE forum_id > %s ORDER BY forum_id LIMIT %s",
            [after_forum, limit],
        )
        return list(cursor.fetchall())
