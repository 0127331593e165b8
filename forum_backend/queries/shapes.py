"""Rows as readers see them: plain JSON values, ids as strings, times as RFC 3339 in UTC.

A shape that has an author carries ``author_id`` and ``guest_name``; ``queries.profiles.with_authors`` turns them into
the ``author`` that readers get. What its author or a moderator took away is not in the shape at all.
"""

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ObjectDoesNotExist

from forum_backend.data.shard.models import Forum, ForumCounters, Post, Thread

type Shape = dict[str, Any]


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC, ending in Z."""
    return at.astimezone(UTC).isoformat()[:-6] + "Z"


def optional_timestamp(at: datetime | None) -> str | None:
    return None if at is None else timestamp(at)


def forum_shape(forum: Forum) -> Shape:
    """A forum and its counters; a forum whose first event is not counted yet has zeros."""
    try:
        counters = forum.counters
    except ObjectDoesNotExist:
        counters = ForumCounters(last_post_at=None)
    return {
        "id": str(forum.id),
        "slug": forum.slug,
        "name": forum.name,
        "description": forum.description,
        "author_id": str(forum.owner_id),
        "guest_name": "",
        "created_at": timestamp(forum.created_at),
        "threads_count": counters.threads_count,
        "posts_count": counters.posts_count,
        "last_post_at": optional_timestamp(counters.last_post_at),
    }


def thread_shape(thread: Thread) -> Shape:
    """A thread; one that was deleted is its id and nothing more."""
    if thread.is_deleted:
        return gone(thread.id, thread.forum_id)
    return {
        "id": str(thread.id),
        "forum": str(thread.forum_id),
        "title": thread.title,
        "author_id": _text_id(thread.author_id),
        "guest_name": thread.guest_name,
        "created_at": timestamp(thread.created_at),
        "last_post_at": timestamp(thread.last_post_at),
        "posts_count": thread.posts_count,
        "is_closed": thread.is_closed,
        "is_pinned": thread.is_pinned,
        "is_deleted": False,
    }


def post_shape(post: Post) -> Shape:
    """A post; one that was deleted or is spam keeps its place in the tree, without words and without an author."""
    shown = not (post.is_deleted or post.is_spam)
    return {
        "id": str(post.id),
        "thread": str(post.thread_id),
        "forum": str(post.forum_id),
        "parent": _text_id(post.parent_id),
        "author_id": _text_id(post.author_id) if shown else None,
        "guest_name": post.guest_name if shown else "",
        "body": post.body if shown else "",
        "html": post.html if shown else "",
        "created_at": timestamp(post.created_at),
        "edited_at": optional_timestamp(post.edited_at),
        "is_deleted": post.is_deleted,
        "is_spam": post.is_spam,
        "points": post.points,
        "depth": len(post.path) - 1 if post.path else 0,
    }


def gone(row_id: int, forum_id: int) -> Shape:
    """What is left to say of a row that is not shown any more."""
    return {"id": str(row_id), "forum": str(forum_id), "is_deleted": True}


def _text_id(value: int | None) -> str | None:
    return None if value is None else str(value)
