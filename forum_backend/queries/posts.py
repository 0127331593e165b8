"""Reading posts: one by id, and a thread's posts in the order a reader asks for."""

from typing import Any

from django.db.models import QuerySet, Subquery

from forum_backend.data.shard.models import Post
from forum_backend.domain.errors import Invalid, NotFound
from forum_backend.domain.ids import forum_of
from forum_backend.queries.forum_read import forum_read
from forum_backend.queries.paging import Order, Page, read_page
from forum_backend.queries.profiles import with_authors
from forum_backend.queries.shapes import Shape, post_shape
from forum_backend.queries.threads import present_thread

ORDERS = {
    "oldest": Order("oldest", ("id",), (int,)),
    "newest": Order("newest", ("id",), (int,), is_descending=True),
    "best": Order("best", ("points", "id"), (int, int), is_descending=True),
    "nested": Order("nested", ("path",), (int,)),  # a cursor names the post; its path is looked up
}


def post_order(name: str) -> Order:
    """The order of this name; ``Invalid`` names those there are."""
    try:
        return ORDERS[name]
    except KeyError:
        raise Invalid(f"There is no order {name[:40]!r}", fields={"order": "one of " + ", ".join(ORDERS)}) from None


def present_post(alias: str, post_id: int) -> Post:
    """The post, even a deleted one, inside a read of its forum. ``NotFound`` if its thread or forum was deleted."""
    found: Post | None = (
        Post.objects.using(alias).filter(pk=post_id, thread__is_deleted=False, forum__is_deleted=False).first()
    )
    if found is None:
        raise NotFound("post", post_id)
    return found


def post_page(post_id: int) -> Shape:
    """A post as readers see it."""
    shape = forum_read(forum_of(post_id), lambda alias: post_shape(present_post(alias, post_id)))
    return with_authors([shape])[0]


def posts_of_thread(*, thread_id: int, order: str = "oldest", cursor: str | None = None, limit: int = 50) -> Page[Post]:
    """A page of a thread's posts, as rows. ``order``: oldest, newest, best, or nested (replies below posts)."""

    def read(alias: str) -> Page[Post]:
        present_thread(alias, thread_id)
        return _posts_on(alias, thread_id, order, cursor, limit)

    return forum_read(forum_of(thread_id), read)


def posts_answer(page: Page[Post]) -> dict[str, Any]:
    """A page of posts as readers get it, with the authors' cards."""
    return page.answer(with_authors([post_shape(post) for post in page.rows]))


def list_posts(*, thread_id: int, order: str = "oldest", cursor: str | None = None, limit: int = 50) -> dict[str, Any]:
    """A page of a thread's posts as readers get it."""
    return posts_answer(posts_of_thread(thread_id=thread_id, order=order, cursor=cursor, limit=limit))


def _key(post: Post, order: Order) -> tuple[Any, ...]:
    return (post.points, post.id) if order.name == "best" else (post.id,)


def _posts_on(alias: str, thread_id: int, order: str, cursor: str | None, limit: int) -> Page[Post]:
    chosen = post_order(order)
    posts: QuerySet[Post] = Post.objects.using(alias).filter(thread_id=thread_id)

    def paths(key: tuple[Any, ...]) -> tuple[Any, ...]:
        return (Subquery(posts.filter(pk=key[0]).values("path")),)

    return read_page(
        posts,
        order=chosen,
        cursor=cursor,
        limit=limit,
        boundary=paths if order == "nested" else lambda key: key,
        key_of=lambda post: _key(post, chosen),
    )
