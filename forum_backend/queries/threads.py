"""Reading threads: one by id, and a forum's threads, pinned first, then by their last post."""

from datetime import datetime
from typing import Any

from forum_backend.data.shard.models import Thread
from forum_backend.domain.errors import NotFound
from forum_backend.domain.ids import forum_of
from forum_backend.queries.forum_read import forum_read
from forum_backend.queries.forums import refuse_if_deleted
from forum_backend.queries.paging import Order, Page, read_page
from forum_backend.queries.profiles import with_authors
from forum_backend.queries.shapes import Shape, thread_shape

LATEST = Order("threads", ("is_pinned", "last_post_at", "id"), (bool, datetime, int), is_descending=True)


def present_thread(alias: str, thread_id: int) -> Thread:
    """The thread with its forum, inside a read of the forum. ``NotFound`` if either was deleted."""
    found: Thread | None = (
        Thread.objects.using(alias)
        .filter(pk=thread_id, is_deleted=False, forum__is_deleted=False)
        .select_related("forum")
        .first()
    )
    if found is None:
        raise NotFound("thread", thread_id)
    return found


def thread_page(thread_id: int) -> Shape:
    """A thread as readers see it."""
    shape = forum_read(forum_of(thread_id), lambda alias: thread_shape(present_thread(alias, thread_id)))
    return with_authors([shape])[0]


def list_threads(*, forum_id: int, cursor: str | None = None, limit: int = 50) -> dict[str, Any]:
    """A page of a forum's threads."""

    def read(alias: str) -> Page[Thread]:
        refuse_if_deleted(alias, forum_id)
        threads = Thread.objects.using(alias).filter(forum_id=forum_id, is_deleted=False)
        return read_page(threads, order=LATEST, cursor=cursor, limit=limit)

    page = forum_read(forum_id, read)
    return page.answer(with_authors([thread_shape(thread) for thread in page.rows]))
