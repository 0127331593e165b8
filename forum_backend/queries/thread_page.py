"""A thread's page: fifty posts in the reader's order, their depth, what the reader voted, and where a post is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import connections
from django.db.models import Q, QuerySet

from forum_backend.data.shard.models import Post, Thread, Vote
from forum_backend.domain.errors import NotFound
from forum_backend.domain.ids import forum_of
from forum_backend.queries.bylines import Byline, bylines
from forum_backend.queries.forum_page import ForumHead, forum_head
from forum_backend.queries.forum_read import forum_read

PAGE_SIZE = 50


class PostOrder(StrEnum):
    """The orders a reader may choose from."""

    NESTED = "nested"
    OLDEST = "oldest"
    NEWEST = "newest"
    BEST = "best"


# The columns of each order, all in one direction, so that a page begins with one comparison of rows on one index.
_COLUMNS = {
    PostOrder.NESTED: ["path"],
    PostOrder.OLDEST: ["id"],
    PostOrder.NEWEST: ["id"],
    PostOrder.BEST: ["points", "id"],
}
_DESCENDING = {PostOrder.NEWEST, PostOrder.BEST}


@dataclass(frozen=True, slots=True)
class PostRow:
    """A post as the page shows it. A deleted or spam post has no author and no text."""

    id: int
    parent_id: int | None
    depth: int
    author: Byline | None
    author_id: int | None
    html: str
    created_at: datetime
    edited_at: datetime | None
    is_deleted: bool
    is_spam: bool
    points: int
    my_vote: int

    @property
    def is_hidden(self) -> bool:
        return self.is_deleted or self.is_spam


@dataclass(frozen=True, slots=True)
class ThreadHead:
    """The thread itself."""

    id: int
    title: str
    author: Byline
    created_at: datetime
    posts_count: int
    is_closed: bool
    is_pinned: bool


@dataclass(frozen=True, slots=True)
class ThreadPage:
    """One page of posts. ``next`` and ``previous`` are posts to begin after and to end before."""

    forum: ForumHead
    thread: ThreadHead
    order: PostOrder
    posts: list[PostRow]
    next: int | None
    previous: int | None


@dataclass(frozen=True, slots=True)
class PageStart:
    """Where a page begins: after one post, or ends: before one."""

    after: int | None = None
    before: int | None = None


def thread_page(
    *, thread: int, order: PostOrder = PostOrder.NESTED, start: PageStart | None = None, reader: int | None = None
) -> ThreadPage:
    """A page of a thread as this reader (a user's id, or None) sees it."""
    start = start or PageStart()
    forum = forum_of(thread)
    head, thread_row, posts, votes = forum_read(
        forum, lambda alias: _read(alias=alias, thread=thread, order=order, start=start, reader=reader)
    )
    more = len(posts) > PAGE_SIZE
    posts = posts[:PAGE_SIZE] if start.before is None else posts[:PAGE_SIZE][::-1]
    authors = bylines([*posts, thread_row])
    rows = [_post_row(post, author, votes) for post, author in zip(posts, authors, strict=False)]
    backward = start.before is not None
    return ThreadPage(
        forum=head,
        thread=_thread_head(thread_row, authors[-1]),
        order=order,
        posts=rows,
        next=rows[-1].id if rows and (more or backward) else None,
        previous=rows[0].id if rows and (more if backward else start.after is not None) else None,
    )


def _read(
    *, alias: str, thread: int, order: PostOrder, start: PageStart, reader: int | None
) -> tuple[ForumHead, Any, list[Any], dict[int, int]]:
    head = forum_head(forum=forum_of(thread), alias=alias)
    row = Thread.objects.using(alias).filter(pk=thread, is_deleted=False).first()
    if row is None:
        raise NotFound("thread", thread)
    posts = list(_page_query(alias=alias, thread=thread, order=order, start=start)[: PAGE_SIZE + 1])
    votes: dict[int, int] = {}
    if reader is not None and posts:
        mine = Vote.objects.using(alias).filter(user_id=reader, post_id__in=[post.pk for post in posts])
        votes = dict(mine.values_list("post_id", "value"))
    return head, row, posts, votes


def _page_query(*, alias: str, thread: int, order: PostOrder, start: PageStart) -> Any:
    """Posts after a post in the order, or (read backwards) before one. A post that is not there: from the start."""
    posts: QuerySet[Post] = Post.objects.using(alias).filter(thread_id=thread)
    columns = _COLUMNS[order]
    descending = (order in _DESCENDING) != (start.before is not None)
    edge = start.after if start.before is None else start.before
    if edge is not None:
        names = ", ".join(f"post.{name}" for name in columns)
        values = ", ".join(f"edge.{name}" for name in columns)
        condition = (
            f"({names}) {'<' if descending else '>'} "  # noqa: S608 - column names of a constant table
            f"(SELECT {values} FROM post edge WHERE edge.id = %s AND edge.thread_id = %s)"
        )
        posts = posts.extra(where=[condition], params=[edge, thread])  # noqa: S610
    return posts.order_by(*(f"-{name}" if descending else name for name in columns))


def _post_row(post: Any, author: Byline, votes: dict[int, int]) -> PostRow:
    hidden = post.is_deleted or post.is_spam
    return PostRow(
        id=post.pk,
        parent_id=post.parent_id,
        depth=len(post.path or [0]) - 1,
        author=None if hidden else author,
        author_id=None if hidden else post.author_id,
        html="" if hidden else post.html,
        created_at=post.created_at,
        edited_at=None if hidden else post.edited_at,
        is_deleted=post.is_deleted,
        is_spam=post.is_spam,
        points=post.points,
        my_vote=votes.get(post.pk, 0),
    )


def _thread_head(row: Any, author: Byline) -> ThreadHead:
    return ThreadHead(
        id=row.pk,
        title=row.title,
        author=author,
        created_at=row.created_at,
        posts_count=row.posts_count,
        is_closed=row.is_closed,
        is_pinned=row.is_pinned,
    )


@dataclass(frozen=True, slots=True)
class PostPlace:
    """Where a post is: its thread, and the post after which its page begins (None: the first page)."""

    thread: int
    after: int | None


def place_of_post(*, post: int, order: PostOrder = PostOrder.NESTED) -> PostPlace:
    """The page of its thread that a post is on, counting whole pages from the start in this order."""
    return forum_read(forum_of(post), lambda alias: _place(alias=alias, post=post, order=order))


def _place(*, alias: str, post: int, order: PostOrder) -> PostPlace:
    row = Post.objects.using(alias).filter(pk=post, thread__is_deleted=False).values("thread_id").first()
    if row is None:
        raise NotFound("post", post)
    thread = row["thread_id"]
    columns = _COLUMNS[order]
    sign, direction = (">", "DESC") if order in _DESCENDING else ("<", "ASC")
    names, values = ", ".join(columns), ", ".join(f"p.{name}" for name in columns)
    ordering = ", ".join(f"{name} {direction}" for name in columns)
    with connections[alias].cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM post WHERE thread_id = %s AND ({names}) {sign} "  # noqa: S608 - constant columns
            f"(SELECT {values} FROM post p WHERE p.id = %s)",
            [thread, post],
        )
        before: int = cursor.fetchone()[0]
        start = before - before % PAGE_SIZE
        if start == 0:
            return PostPlace(thread, None)
        cursor.execute(
            f"SELECT id FROM post WHERE thread_id = %s ORDER BY {ordering} OFFSET %s LIMIT 1",  # noqa: S608
            [thread, start - 1],
        )
        return PostPlace(thread, cursor.fetchone()[0])


@dataclass(frozen=True, slots=True)
class PostToEdit:
    """A post as its author edits it."""

    id: int
    thread: int
    title: str
    author_id: int | None
    forum_owner_id: int
    body: str
    html: str


def post_to_edit(post: int) -> PostToEdit:
    """A post that is in view, with its text as it was written."""

    def read(alias: str) -> PostToEdit:
        visible = Q(is_deleted=False, is_spam=False, thread__is_deleted=False, forum__is_deleted=False)
        row = Post.objects.using(alias).filter(visible, pk=post).select_related("thread", "forum").first()
        if row is None:
            raise NotFound("post", post)
        return PostToEdit(
            row.pk, row.thread_id, row.thread.title, row.author_id, row.forum.owner_id, row.body, row.html
        )

    return forum_read(forum_of(post), read)
