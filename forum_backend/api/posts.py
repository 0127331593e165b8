"""Posts of a thread, and votes on them."""

from typing import Any, Literal

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router

from forum_backend.api.access import account_of, id_in_address, idempotency_key, signed_in
from forum_backend.api.answers import answer, authored, nothing, tagged, tagged_body
from forum_backend.api.schemas import Cursor, Limit, NewPost, NewVote, Post, PostChanges, Posts
from forum_backend.api.shortcuts import remember
from forum_backend.domain.errors import NotOwner
from forum_backend.domain.ids import parse_id
from forum_backend.queries import posts as post_queries
from forum_backend.queries.fresh_pages import PageKey, fresh_page, read_page
from forum_backend.queries.profiles import author_cards, kept_card, with_authors
from forum_backend.services import posts, votes
from forum_backend.services.crossing import in_service_thread

router = Router(tags=["posts"])


@router.get("/threads/{thread}/posts", response=Posts, summary="A thread's posts")
async def index(
    request: ASGIRequest,
    thread: str,
    order: Literal["oldest", "newest", "best", "nested"] = "oldest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> HttpResponse:
    """`nested` is depth first: replies stand below the post they answer, `depth` says how far in."""
    thread_id = id_in_address("thread", thread)
    key = PageKey(thread_id, order, cursor, limit)
    page = await fresh_page(key)
    if page is None:
        page = await in_service_thread(read_page, key)
    remember(request, key)
    return tagged_body(request, page.body, page.etag)


@router.post("/threads/{thread}/posts", response={201: Post}, auth=signed_in, summary="Write a post")
async def create(request: HttpRequest, thread: str, new: NewPost) -> HttpResponse:
    """Write a post, or a reply to the post `parent`. Takes an `Idempotency-Key`."""
    author_id = account_of(request).id
    wanted: dict[str, Any] = {
        "thread_id": id_in_address("thread", thread),
        "author_id": author_id,
        "body": new.body,
        "parent_id": None if new.parent is None else parse_id(new.parent),
        "now": timezone.now(),
        "key": idempotency_key(request),
    }
    card = kept_card(author_id)
    cards = {author_id: card} if card else await in_service_thread(author_cards, {author_id})
    made, refusal = None, None
    try:
        made = await posts.create_post_at_once(**wanted)
    except NotOwner as error:
        refusal = error
    if made is None:
        made = await in_service_thread(posts.create_post, **wanted, refusal=refusal)
    with_authors([made], cards=cards)
    return answer(made, status=201)


@router.get("/posts/{post}", response=Post, summary="A post")
async def show(request: HttpRequest, post: str) -> HttpResponse:
    return tagged(request, await in_service_thread(post_queries.post_page, id_in_address("post", post)))


@router.patch("/posts/{post}", response=Post, auth=signed_in, summary="Write a post anew")
async def change(request: HttpRequest, post: str, changes: PostChanges) -> HttpResponse:
    """For its author, the forum's owner and staff."""
    changed = await in_service_thread(
        authored,
        posts.update_post,
        post_id=id_in_address("post", post),
        account=account_of(request),
        body=changes.body,
        now=timezone.now(),
    )
    return answer(changed)


@router.delete("/posts/{post}", response={204: None}, auth=signed_in, summary="Delete a post")
async def delete(request: HttpRequest, post: str) -> HttpResponse:
    """For its author, the forum's owner and staff. Its place in the thread stays, its words and author do not."""
    post_id, account = id_in_address("post", post), account_of(request)
    await in_service_thread(posts.delete_post, post_id=post_id, account=account, now=timezone.now())
    return nothing()


@router.put("/posts/{post}/vote", response=Post, auth=signed_in, summary="Vote on a post")
async def vote(request: HttpRequest, post: str, new: NewVote) -> HttpResponse:
    """1 for, -1 against, 0 takes the vote back."""
    changed = await in_service_thread(
        authored,
        votes.vote,
        post_id=id_in_address("post", post),
        user_id=account_of(request).id,
        value=new.value,
        now=timezone.now(),
    )
    return answer(changed)
