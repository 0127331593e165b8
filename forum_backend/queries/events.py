"""A forum's gap-free history as readers see it: each event with its row as the row is now."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

import psycopg
from django.conf import settings
from django.db import connections
from psycopg.rows import namedtuple_row

from forum_backend.data.shard.models import Forum, ForumEvent, Thread
from forum_backend.domain.events import Event, PostVoted, ThreadDeleted, decode
from forum_backend.domain.ids import FORUM_BITS, MAX_ID, n_of
from forum_backend.queries.forum_read import forum_read
from forum_backend.queries.forums import refuse_if_deleted
from forum_backend.queries.paging import bounded
from forum_backend.queries.profiles import with_authors
from forum_backend.queries.shapes import Shape, forum_shape, gone, post_shape, thread_shape, timestamp


class Numbered(Protocol):
    """A stored event: a row of the log, or what the relay has just appended to it."""

    @property
    def id(self) -> int: ...
    @property
    def forum_id(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def subject_id(self) -> int: ...
    @property
    def data(self) -> dict[str, Any]: ...
    @property
    def at(self) -> datetime: ...


# Past the ORM, and planned once by the server: every event on its way to readers passes here.
POSTS_SQL = "SELECT p.* FROM post p JOIN thread t ON t.id = p.thread_id WHERE p.id = ANY(%s) AND NOT t.is_deleted"
_NUMBERS_END = MAX_ID >> FORUM_BITS


def events_after(forum_id: int, after: int, limit: int = 100) -> list[Shape]:
    """The events with numbers ``after + 1`` and up, in order. ``NotFound`` for an unknown or deleted forum."""

    def read(alias: str) -> list[Shape]:
        refuse_if_deleted(alias, forum_id)
        return shapes_on(alias, rows_after(alias, forum_id, after=after, limit=bounded(limit)))

    return with_event_authors(forum_read(forum_id, read))


def rows_after(alias: str, forum_id: int, *, after: int, limit: int) -> list[ForumEvent]:
    """The stored events after a number, inside a read of the forum. No gaps: their keys are known beforehand."""
    numbers = range(max(after, 0) + 1, max(after, 0) + 1 + limit)
    keys = [(number << FORUM_BITS) | forum_id for number in numbers if number < _NUMBERS_END]
    return list(ForumEvent.objects.using(alias).filter(id__in=keys).order_by("id"))


def shapes_on(alias: str, rows: Sequence[Numbered]) -> list[Shape]:
    """Events with the rows they are about, read from this shard. Authors are added by ``with_event_authors``."""
    posts = _posts(alias, {row.subject_id for row in rows if row.type.startswith("post.")})
    threads = _threads(alias, {row.subject_id for row in rows if row.type.startswith("thread.")})
    forums = _forums(alias, {row.forum_id for row in rows if row.type.startswith("forum.")})
    present = {"post": posts, "thread": threads, "forum": forums}
    return [_shape(row, present) for row in rows]


def public_events(alias: str, rows: Sequence[Numbered]) -> list[Shape]:
    """Events of any forums of this shard as readers see them, authors included; for whoever publishes them."""
    return with_event_authors(shapes_on(alias, rows))


def with_event_authors(events: list[Shape]) -> list[Shape]:
    """Give the rows inside events their authors (in place, and return the events)."""
    data = [event["data"] for event in events]
    with_authors([row for row in data if "slug" in row], key="owner")
    with_authors([row for row in data if "slug" not in row])
    return events


def _shape(row: Numbered, present: dict[str, dict[int, Shape]]) -> Shape:
    event = decode(type=row.type, subject_id=row.subject_id, data=row.data)
    about = present.get(row.type.partition(".")[0], {}).get(row.subject_id)
    data = dict(about) if about is not None else gone(row.subject_id, row.forum_id)
    return {"number": n_of(row.id), "type": row.type, "at": timestamp(row.at), "data": {**data, **_facts(event)}}


def _facts(event: Event) -> dict[str, Any]:
    """What an event says beyond the row: no more than readers may know."""
    if isinstance(event, PostVoted):
        return {"delta": event.delta}
    if isinstance(event, ThreadDeleted):
        return {"removed_posts": event.posts}
    threads, posts = getattr(event, "threads", None), getattr(event, "posts", None)
    return {"imported_threads": threads, "imported_posts": posts} if threads is not None else {}


def _posts(alias: str, ids: Iterable[int]) -> dict[int, Shape]:
    """Posts of deleted threads are not there: what a moderator took from view stays out of the history."""
    if not ids:
        return {}
    connection = connections[alias]
    connection.ensure_connection()
    with (
        connection.wrap_database_errors,
        psycopg.Cursor(connection.connection, row_factory=namedtuple_row) as cursor,
    ):
        cursor.execute(POSTS_SQL, [list(ids)], prepare=settings.PREPARED_STATEMENTS or None)
        posts: Iterable[Any] = cursor  # rows with a post's columns
        return {post.id: post_shape(post) for post in posts}


def _threads(alias: str, ids: Iterable[int]) -> dict[int, Shape]:
    threads = Thread.objects.using(alias).filter(pk__in=ids) if ids else ()
    return {thread.pk: thread_shape(thread) for thread in threads}


def _forums(alias: str, ids: Iterable[int]) -> dict[int, Shape]:
    forums = Forum.objects.using(alias).filter(pk__in=ids, is_deleted=False).select_related("counters") if ids else ()
    return {forum.pk: forum_shape(forum) for forum in forums}
