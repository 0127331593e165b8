"""Opening threads (with their first post), moderating and deleting them."""

from datetime import datetime
from typing import Any

from forum_backend.data.shard.models import Forum, Post, Thread
from forum_backend.domain.errors import Forbidden, Invalid, NotFound
from forum_backend.domain.events import PostCreated, ThreadCreated, ThreadDeleted, ThreadUpdated
from forum_backend.domain.idempotency import checked_key, request_digest
from forum_backend.domain.ids import forum_of
from forum_backend.domain.text import render_markdown
from forum_backend.queries.shapes import Shape, post_shape, thread_shape
from forum_backend.services import outbox
from forum_backend.services.accounts import Account
from forum_backend.services.forum_write import OpenForum, forum_write
from forum_backend.services.idempotency import once
from forum_backend.services.permissions import may_moderate, refuse_unless_moderator
from forum_backend.services.wording import checked_body, checked_title


def create_thread(
    *, forum_id: int, author_id: int, title: str, body: str, now: datetime, key: str | None = None
) -> Shape:
    """A thread with its first post; returns the thread's shape, with the post under ``post``."""
    title, body = checked_title(title), checked_body(body)
    html = render_markdown(body)
    key, digest = checked_key(key), request_digest("create_thread", title=title, body=body)

    def write(forum: OpenForum) -> Shape:
        _refuse_deleted_forum(forum)
        thread = Thread.objects.using(forum.shard).create(
            forum_id=forum.forum_id, title=title, author_id=author_id, created_at=now, last_post_at=now
        )
        post = Post.objects.using(forum.shard).create(
            forum_id=forum.forum_id, thread_id=thread.pk, author_id=author_id, body=body, html=html, created_at=now
        )
        outbox.record(forum, ThreadCreated(subject_id=thread.pk), now=now)
        outbox.record(forum, PostCreated(subject_id=post.pk, thread_id=thread.pk, author_id=author_id), now=now)
        post.path = [post.pk]
        return {**thread_shape(thread), "post": post_shape(post)}

    return forum_write(
        forum_id,
        lambda forum: once(forum, user_id=author_id, key=key, digest=digest, now=now, write=lambda: write(forum)),
    )


def _refuse_deleted_forum(forum: OpenForum) -> None:
    if not Forum.objects.using(forum.shard).filter(pk=forum.forum_id, is_deleted=False).exists():
        raise NotFound("forum", forum.forum_id)


def update_thread(*, thread_id: int, account: Account, changes: dict[str, Any], now: datetime) -> Shape:
    """Change ``title`` (author or moderator), ``is_closed`` or ``is_pinned`` (moderators)."""
    unknown = changes.keys() - {"title", "is_closed", "is_pinned"}
    if unknown:
        raise Invalid(fields=dict.fromkeys(sorted(unknown), "cannot be changed"))
    if "title" in changes:
        changes = {**changes, "title": checked_title(changes["title"])}

    def write(forum: OpenForum) -> Shape:
        thread = open_thread(forum, thread_id)
        _refuse_changes(account, thread, changes)
        changed = [name for name, value in changes.items() if getattr(thread, name) != value]
        for name in changed:
            setattr(thread, name, changes[name])
        if changed:
            thread.save(using=forum.shard, update_fields=changed)
            outbox.record(forum, ThreadUpdated(subject_id=thread_id), now=now)
        return thread_shape(thread)

    return forum_write(forum_of(thread_id), write)


def _refuse_changes(account: Account, thread: Thread, changes: dict[str, Any]) -> None:
    if may_moderate(account, thread.forum.owner_id):
        return
    if thread.author_id != account.id or thread.is_closed or changes.keys() - {"title"}:
        raise Forbidden("Authors change the titles of their open threads; all else is for the forum's owner and staff")


def delete_thread(*, thread_id: int, account: Account, now: datetime) -> None:
    """Take a thread and its posts from view; for the forum's owner and staff."""

    def write(forum: OpenForum) -> None:
        thread = open_thread(forum, thread_id)
        refuse_unless_moderator(account, thread.forum)
        thread.is_deleted = True
        thread.save(using=forum.shard, update_fields=["is_deleted"])
        shown = Post.objects.using(forum.shard).filter(thread_id=thread_id, is_deleted=False, is_spam=False).count()
        outbox.record(forum, ThreadDeleted(subject_id=thread_id, posts=shown), now=now)

    forum_write(forum_of(thread_id), write)


def open_thread(forum: OpenForum, thread_id: int) -> Thread:
    """The thread with its forum, locked against other changes of it. ``NotFound`` if either was deleted."""
    thread: Thread | None = (
        Thread.objects.using(forum.shard)
        .filter(pk=thread_id, is_deleted=False, forum__is_deleted=False)
        .select_related("forum")
        .select_for_update(of=("self",))
        .first()
    )
    if thread is None:
        raise NotFound("thread", thread_id)
    return thread
