"""Writing posts: each one function, one transaction on the forum's shard, one recorded event."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from forum_backend.data.shard.models import Post
from forum_backend.domain.errors import Closed, Conflict, IdempotencyMismatch, Invalid, NotFound, NotOwner, Unavailable
from forum_backend.domain.events import PostDeleted, PostUpdated
from forum_backend.domain.idempotency import checked_key, request_digest
from forum_backend.domain.ids import forum_of
from forum_backend.domain.moves import OwnershipMode
from forum_backend.domain.text import render_markdown
from forum_backend.queries.async_pools import write_pools
from forum_backend.queries.shapes import Shape, post_shape, timestamp
from forum_backend.services import outbox
from forum_backend.services.accounts import Account
from forum_backend.services.forum_write import OpenForum, forum_statement, forum_write
from forum_backend.services.permissions import may_moderate, refuse_unless_author_or_moderator
from forum_backend.services.waking import wake_relay
from forum_backend.services.wording import checked_body
from routers.directory import directory
from routers.refusals import refusal_of

# A longer text is rendered in a service thread: the event loop has others to serve.
SHORT = 1_000

# Nearly all fences stand for less, on a busy machine too: until then a writer waits here, where it takes no thread, and
# no processor from the mover.
FENCE_S = 0.045

POST_CREATE = (
    "SELECT outcome, id, depth, created_at FROM post_create(%s, %s, %s, %s, %s, %s, %s, %s, %s::text, %s::bytea)"
)
# The same with a limit on its waits. What the forum is computed from comes first: the limit is in force by then.
POST_CREATE_AT_ONCE = POST_CREATE.replace(
    "post_create(%s", "set_config('lock_timeout', '100ms', true) AS local, LATERAL post_create(%s + 0 * length(local)"
)


@dataclass(frozen=True, slots=True)
class NewPost:
    """A post that was looked at and rendered, and has to be written only."""

    thread_id: int
    author_id: int
    parent_id: int | None
    body: str
    html: str
    now: datetime
    key: str | None
    digest: bytes | None

    @property
    def forum_id(self) -> int:
        return forum_of(self.thread_id)

    def parameters(self) -> list[Any]:
        """Those of ``POST_CREATE`` after the forum and the epoch."""
        return [
            self.thread_id, self.parent_id, self.author_id, self.body, self.html, self.now, self.key, self.digest
        ]  # fmt: skip

    def shape(self, row: tuple[Any, ...]) -> Shape:
        """The written post's shape, of the row that ``POST_CREATE`` returned; raises what it refused."""
        outcome, post_id, depth, created_at = row
        _refuse(outcome, self.thread_id)
        return {
            "id": str(post_id),
            "thread": str(self.thread_id),
            "forum": str(self.forum_id),
            "parent": None if self.parent_id is None else str(self.parent_id),
            "author_id": str(self.author_id),
            "guest_name": "",
            "body": self.body,
            "html": self.html,
            "created_at": timestamp(created_at),
            "edited_at": None,
            "is_deleted": False,
            "is_spam": False,
            "points": 0,
            "depth": depth,
        }


def create_post(
    *,
    thread_id: int,
    author_id: int,
    body: str,
    parent_id: int | None = None,
    now: datetime,
    key: str | None = None,
    refusal: NotOwner | None = None,
) -> Shape:
    """A post in an open thread, or a reply to one of its posts; returns its shape, with ``author_id``.

    The hottest write of all, so one statement does it: ``data/shard/sql/post_create.sql`` enters the forum, looks,
    writes the post and its event, and keeps the answer under the key. ``refusal``: what ``create_post_at_once`` raised.
    """
    new = _prepare(thread_id=thread_id, author_id=author_id, body=body, parent_id=parent_id, now=now, key=key)
    may_repeat = new.key is not None
    row = forum_statement(new.forum_id, POST_CREATE, new.parameters(), may_repeat=may_repeat, refusal=refusal)
    return new.shape(row)


async def create_post_at_once(
    *, thread_id: int, author_id: int, body: str, parent_id: int | None = None, now: datetime, key: str | None = None
) -> Shape | None:
    """As ``create_post``, on the event loop, where nothing stands in the way; None where only ``create_post`` can tell.

    For short posts with a key to a forum whose owner is known: whatever happens here, ``create_post`` may repeat it,
    and the key sees to it that there is one post. Raises ``NotOwner`` where the shard does not own the forum now:
    ``create_post`` waits, or follows it, without asking there again.
    """
    location = directory.known(forum_of(thread_id))
    if key is None or location is None or len(body) > SHORT:
        return None
    new = _prepare(thread_id=thread_id, author_id=author_id, body=body, parent_id=parent_id, now=now, key=key)
    parameters = (new.forum_id, location.epoch, *new.parameters())
    try:
        row = await write_pools.fetch_one(location.shard, POST_CREATE_AT_ONCE, parameters)
    except psycopg.Error as error:
        refused = refusal_of(error, forum=new.forum_id, shard=location.shard)
        if isinstance(refused, NotOwner):
            if refused.ownership.mode == OwnershipMode.FENCED:
                await asyncio.sleep(FENCE_S)
            raise refused from error
        return None
    except Unavailable:
        return None
    if row is None:
        return None
    wake_relay(location.shard)
    return new.shape(row)


def _prepare(
    *, thread_id: int, author_id: int, body: str, parent_id: int | None, now: datetime, key: str | None
) -> NewPost:
    body, key = checked_body(body), checked_key(key)
    digest = request_digest("create_post", thread=thread_id, parent=parent_id, body=body) if key else None
    return NewPost(thread_id, author_id, parent_id, body, render_markdown(body), now, key, digest)


def _refuse(outcome: str, thread_id: int) -> None:
    if outcome == "no_thread":
        raise NotFound("thread", thread_id)
    if outcome == "closed":
        raise Closed
    if outcome == "no_parent":
        raise Invalid("The post to reply to is not in this thread", fields={"parent": "a post of this thread"})
    if outcome == "mismatch":
        raise IdempotencyMismatch


def update_post(*, post_id: int, account: Account, body: str, now: datetime) -> Shape:
    """Write a post anew; for its author while the thread is open, and for the forum's owner and staff."""
    body = checked_body(body)
    html = render_markdown(body)

    def write(forum: OpenForum) -> Shape:
        post = open_post(forum, post_id)
        refuse_unless_author_or_moderator(account, post)
        if post.is_deleted or post.is_spam:
            raise Conflict("This post was taken away")
        if post.thread.is_closed and not may_moderate(account, post.forum.owner_id):
            raise Closed
        if post.body != body:
            post.body, post.html, post.edited_at = body, html, now
            post.save(using=forum.shard, update_fields=["body", "html", "edited_at"])
            outbox.record(forum, PostUpdated(subject_id=post_id), now=now)
        return post_shape(post)

    return forum_write(forum_of(post_id), write)


def delete_post(*, post_id: int, account: Account, now: datetime) -> None:
    """Take a post from view, its place in the tree stays; for its author, the forum's owner and staff."""

    def write(forum: OpenForum) -> None:
        post = open_post(forum, post_id)
        refuse_unless_author_or_moderator(account, post)
        if post.is_deleted:
            return
        post.is_deleted = True
        post.save(using=forum.shard, update_fields=["is_deleted"])
        deleted = PostDeleted(subject_id=post_id, thread_id=post.thread_id, author_id=post.author_id)
        # Spam was never counted, so nothing is counted back.
        outbox.record(forum, PostUpdated(subject_id=post_id) if post.is_spam else deleted, now=now)

    forum_write(forum_of(post_id), write)


def open_post(forum: OpenForum, post_id: int) -> Post:
    """The post with its thread and forum, locked against other changes. ``NotFound`` if one of those was deleted."""
    post: Post | None = (
        Post.objects.using(forum.shard)
        .filter(pk=post_id, thread__is_deleted=False, forum__is_deleted=False)
        .select_related("thread", "forum")
        .select_for_update(of=("self",))
        .first()
    )
    if post is None:
        raise NotFound("post", post_id)
    return post
