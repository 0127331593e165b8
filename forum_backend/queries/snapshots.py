"""A forum's newest threads and posts together with the number of the event they are as of, in one view of the rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction

from forum_backend.data.shard.models import Forum, Post, Thread
from forum_backend.domain.errors import NotFound
from forum_backend.domain.snapshots import POSTS, THREADS
from forum_backend.queries.forum_read import forum_read
from forum_backend.queries.forums import number_on
from forum_backend.queries.profiles import with_authors
from forum_backend.queries.shapes import Shape, forum_shape, gone, post_shape, thread_shape


@contextmanager
def one_view(alias: str) -> Iterator[None]:
    """All queries inside see the rows as of one moment, and write nothing."""
    with transaction.atomic(using=alias):
        with connections[alias].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def forum_snapshot(forum_id: int) -> tuple[int, dict[str, Any]]:
    """The last number given and ``{"forum", "threads", "posts"}``, newest first. ``NotFound`` if it was deleted."""
    number, snapshot = forum_read(forum_id, lambda alias: _snapshot_on(alias, forum_id))
    with_authors([snapshot["forum"]], key="owner")
    with_authors([*snapshot["threads"], *snapshot["posts"]])
    return number, snapshot


def _snapshot_on(alias: str, forum_id: int) -> tuple[int, dict[str, Any]]:
    with one_view(alias):
        forums = Forum.objects.using(alias).filter(pk=forum_id, is_deleted=False)
        forum = forums.select_related("counters").first()
        if forum is None:
            raise NotFound("forum", forum_id)
        threads = Thread.objects.using(alias).filter(forum_id=forum_id).order_by("-id")[:THREADS]
        posts = Post.objects.using(alias).filter(forum_id=forum_id).select_related("thread").order_by("-id")[:POSTS]
        data = {
            "forum": forum_shape(forum),
            "threads": [thread_shape(thread) for thread in threads],
            "posts": [_shown(post) for post in posts],
        }
        return number_on(alias, forum_id), data


def _shown(post: Post) -> Shape:
    """Posts of deleted threads keep their place and nothing else, as in the history."""
    return gone(post.id, post.forum_id) if post.thread.is_deleted else post_shape(post)
