"""Threads of a forum."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router

from forum_backend.api.access import account_of, id_in_address, idempotency_key, signed_in
from forum_backend.api.answers import answer, authored, nothing, tagged
from forum_backend.api.schemas import Cursor, Limit, NewThread, Thread, ThreadChanges, Threads, ThreadWithPost
from forum_backend.queries import threads as thread_queries
from forum_backend.queries.forums import forum_by
from forum_backend.queries.shapes import Shape
from forum_backend.services import threads
from forum_backend.services.crossing import in_service_thread

router = Router(tags=["threads"])


@router.get("/forums/{forum}/threads", response=Threads, summary="A forum's threads")
async def index(request: HttpRequest, forum: str, cursor: Cursor = None, limit: Limit = 50) -> HttpResponse:
    """Pinned threads first, then by their last post."""
    return answer(await in_service_thread(_listed, forum, cursor, limit))


def _listed(forum: str, cursor: str | None, limit: int) -> Shape:
    return thread_queries.list_threads(forum_id=forum_by(slug_or_id=forum), cursor=cursor, limit=limit)


@router.post("/forums/{forum}/threads", response={201: ThreadWithPost}, auth=signed_in, summary="Open a thread")
async def create(request: HttpRequest, forum: str, new: NewThread) -> HttpResponse:
    """Open a thread with its first post. Takes an `Idempotency-Key`."""
    made = await in_service_thread(_created, forum, new, account_of(request).id, idempotency_key(request))
    return answer(made, status=201)


def _created(forum: str, new: NewThread, author: int, key: str | None) -> Shape:
    number = forum_by(slug_or_id=forum)
    request = {**new.model_dump(), "forum_id": number, "author_id": author, "key": key, "now": timezone.now()}
    shape: Shape = authored(threads.create_thread, **request)
    return shape


@router.get("/threads/{thread}", response=Thread, summary="A thread")
async def show(request: HttpRequest, thread: str) -> HttpResponse:
    return tagged(request, await in_service_thread(thread_queries.thread_page, id_in_address("thread", thread)))


@router.patch("/threads/{thread}", response=Thread, auth=signed_in, summary="Change a thread")
async def change(request: HttpRequest, thread: str, changes: ThreadChanges) -> HttpResponse:
    """The title for its author, all else for the forum's owner and staff."""
    changed = await in_service_thread(
        authored,
        threads.update_thread,
        thread_id=id_in_address("thread", thread),
        account=account_of(request),
        changes=changes.model_dump(exclude_unset=True),
        now=timezone.now(),
    )
    return answer(changed)


@router.delete("/threads/{thread}", response={204: None}, auth=signed_in, summary="Delete a thread")
async def delete(request: HttpRequest, thread: str) -> HttpResponse:
    """For the forum's owner and staff."""
    await in_service_thread(
        threads.delete_thread,
        thread_id=id_in_address("thread", thread),
        account=account_of(request),
        now=timezone.now(),
    )
    return nothing()
