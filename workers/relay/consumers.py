"""Consumers of the forums' histories: each event takes effect exactly once, although it may arrive often or never.

A consumer keeps a cursor per forum in the database it writes to and moves it in the transaction of its effects. An
event it has had is dropped; one it misses is fetched from the forum's log. So the streams only make it fast.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from django.db import connections, transaction

from forum_backend.queries.history import LoggedEvent, history_after

PAGE = 500

BEGIN_SQL = """
INSERT INTO consumer_cursor (consumer, forum_id, number) SELECT %s, f, 0 FROM unnest(%s::int[]) AS f ORDER BY f
ON CONFLICT (consumer, forum_id) DO NOTHING
"""
LOCK_SQL = """
SELECT forum_id, number FROM consumer_cursor WHERE consumer = %s AND forum_id = ANY(%s) ORDER BY forum_id FOR UPDATE
"""
READ_SQL = "SELECT forum_id, number FROM consumer_cursor WHERE consumer = %s AND forum_id = ANY(%s)"
MOVE_SQL = """
UPDATE consumer_cursor AS c SET number = new.number FROM unnest(%s::int[], %s::bigint[]) AS new (forum_id, number)
WHERE c.consumer = %s AND c.forum_id = new.forum_id
"""


class Consumer(Protocol):
    """Something that follows all forums. ``apply`` runs in a transaction on ``database`` that moves the cursors."""

    name: str
    database: str

    def apply(self, cursor: Any, events: list[LoggedEvent]) -> None: ...


def apply_events(consumer: Consumer, events: Iterable[LoggedEvent]) -> set[int]:
    """Apply the events that continue their forum's cursor, in one transaction; returns the forums with a gap."""
    by_forum: dict[int, dict[int, LoggedEvent]] = {}
    for event in events:
        by_forum.setdefault(event.forum_id, {})[event.number] = event
    if not by_forum:
        return set()
    with transaction.atomic(using=consumer.database), connections[consumer.database].cursor() as cursor:
        cursors = _lock_cursors(cursor, consumer, sorted(by_forum))
        following: list[LoggedEvent] = []
        moved: dict[int, int] = {}
        for forum, number in cursors.items():
            while (following_event := by_forum[forum].get(number + 1)) is not None:
                following.append(following_event)
                moved[forum] = number = following_event.number
        if moved:
            consumer.apply(cursor, following)
            cursor.execute(MOVE_SQL, [list(moved), list(moved.values()), consumer.name])
    return {forum for forum, numbered in by_forum.items() if max(numbered) > moved.get(forum, cursors[forum])}


def _lock_cursors(cursor: Any, consumer: Consumer, forums: list[int]) -> dict[int, int]:
    cursor.execute(LOCK_SQL, [consumer.name, forums])
    found = dict(cursor.fetchall())
    if len(found) < len(forums):
        cursor.execute(BEGIN_SQL, [consumer.name, forums])
        cursor.execute(LOCK_SQL, [consumer.name, forums])
        found = dict(cursor.fetchall())
    return found


def cursors_of(consumer: Consumer, forums: list[int]) -> dict[int, int]:
    """How far the consumer has come in each of these forums (0 where it has not begun)."""
    with connections[consumer.database].cursor() as cursor:
        cursor.execute(READ_SQL, [consumer.name, forums])
        found = dict(cursor.fetchall())
    return {forum: found.get(forum, 0) for forum in forums}


def catch_up(consumer: Consumer, forum: int, *, is_stopping: Callable[[], bool]) -> None:
    """Apply what the forum's log has beyond the cursor, page by page, each in a transaction of its own."""
    while not is_stopping():
        after = cursors_of(consumer, [forum])[forum]
        events = history_after(forum, after=after, limit=PAGE)
        apply_events(consumer, events)
        if len(events) < PAGE:
            return
