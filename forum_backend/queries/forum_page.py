"""A forum's page: its threads, pinned ones first, then by last activity, with the event number they were read at."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from forum_backend.data.shard.models import Forum, ForumCounters, Thread
from forum_backend.domain.errors import NotFound
from forum_backend.queries.bylines import Byline, bylines
from forum_backend.queries.forum_read import forum_read

PAGE_SIZE = 30
type Place = tuple[bool, datetime, int]

PLACE_SQL = "(thread.is_pinned, thread.last_post_at, thread.id) < (%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class ForumHead:
    """What every page of a forum shows of it. ``number`` is its last event when the page was read."""

    id: int
    slug: str
    name: str
    description: str
    owner_id: int
    created_at: datetime
    threads_count: int
    posts_count: int
    number: int


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """A thread as the forum's page lists it."""

    id: int
    title: str
    author: Byline
    created_at: datetime
    last_post_at: datetime
    posts_count: int
    is_pinned: bool
    is_closed: bool


@dataclass(frozen=True, slots=True)
class ForumPage:
    """One page of threads; ``next`` is the place to go on from."""

    forum: ForumHead
    owner: Byline
    threads: list[ThreadRow]
    next: Place | None


def forum_head(*, forum: int, alias: str) -> ForumHead:
    """The forum's own rows on its shard. Read it first: what is read after it is at least as new as its number."""
    counters = ForumCounters.objects.using(alias).filter(forum_id=forum).first()
    row = Forum.objects.using(alias).filter(pk=forum, is_deleted=False).first()
    if row is None:
        raise NotFound("forum", forum)
    return ForumHead(
        id=row.pk,
        slug=row.slug,
        name=row.name,
        description=row.description,
        owner_id=row.owner_id,
        created_at=row.created_at,
        threads_count=counters.threads_count if counters else 0,
        posts_count=counters.posts_count if counters else 0,
        number=counters.last_number if counters else 0,
    )


def read_head(forum: int) -> ForumHead:
    """The head alone, for pages that list nothing."""
    return forum_read(forum, lambda alias: forum_head(forum=forum, alias=alias))


def forum_page(*, forum: int, after: Place | None = None, limit: int = PAGE_SIZE) -> ForumPage:
    """Threads of a forum after a place in their order."""
    head, rows = forum_read(forum, lambda alias: _read(forum=forum, alias=alias, after=after, limit=limit + 1))
    authors = bylines([*rows, _Owner(head.owner_id)])
    threads = [_thread_row(row, author) for row, author in zip(rows[:limit], authors, strict=False)]
    last = rows[limit - 1] if len(rows) > limit else None
    return ForumPage(head, authors[-1], threads, (last.is_pinned, last.last_post_at, last.pk) if last else None)


@dataclass(frozen=True, slots=True)
class _Owner:
    author_id: int
    guest_name: str = ""


def _read(*, forum: int, alias: str, after: Place | None, limit: int) -> tuple[ForumHead, list[Any]]:
    head = forum_head(forum=forum, alias=alias)
    threads: QuerySet[Thread] = Thread.objects.using(alias).filter(forum_id=forum, is_deleted=False)
    if after is not None:
        threads = threads.extra(where=[PLACE_SQL], params=list(after))  # noqa: S610 - a constant text
    return head, list(threads.order_by("-is_pinned", "-last_post_at", "-pk")[:limit])


def _thread_row(row: Any, author: Byline) -> ThreadRow:
    return ThreadRow(
        id=row.pk,
        title=row.title,
        author=author,
        created_at=row.created_at,
        last_post_at=row.last_post_at,
        posts_count=row.posts_count,
        is_pinned=row.is_pinned,
        is_closed=row.is_closed,
    )
