"""Forums and their events."""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router

from forum_backend.api.access import account_of, anyone, idempotency_key, signed_in
from forum_backend.api.answers import answer, authored, nothing, tagged
from forum_backend.api.schemas import Cursor, Events, Forum, ForumChanges, Forums, Limit, NewForum
from forum_backend.queries import events as event_queries
from forum_backend.queries import forums as forum_queries
from forum_backend.queries.forums import forum_by
from forum_backend.queries.shapes import Shape
from forum_backend.services import forums
from forum_backend.services.accounts import Account
from forum_backend.services.crossing import in_service_thread

router = Router(tags=["forums"])


@router.get("/forums", response=Forums, auth=anyone, summary="List forums")
async def index(request: HttpRequest, cursor: Cursor = None, limit: Limit = 50) -> HttpResponse:
    """Forums, newest first, over all shards. `missing_shards` names those that do not answer right now."""
    for_staff = account_of(request).is_staff
    return answer(await in_service_thread(forum_queries.list_forums, cursor=cursor, limit=limit, for_staff=for_staff))


@router.post("/forums", response={201: Forum}, auth=signed_in, summary="Create a forum")
async def create(request: HttpRequest, new: NewForum) -> HttpResponse:
    """Create a forum; it lives on the shard with the least load. Takes an `Idempotency-Key`."""
    key, owner = idempotency_key(request), account_of(request).id
    made = await in_service_thread(
        authored, forums.create_forum, card="owner", **new.model_dump(), owner_id=owner, key=key, now=timezone.now()
    )
    return answer(made, status=201)


@router.get("/forums/{forum}", response=Forum, auth=anyone, summary="A forum")
async def show(request: HttpRequest, forum: str) -> HttpResponse:
    """A forum by id or slug."""
    return tagged(request, await in_service_thread(_shown, forum, account_of(request)))


def _shown(forum: str, account: Account) -> Shape:
    return forum_queries.forum_page(forum_by(slug_or_id=forum), for_staff=account.is_staff)


@router.patch("/forums/{forum}", response=Forum, auth=signed_in, summary="Change a forum")
async def change(request: HttpRequest, forum: str, changes: ForumChanges) -> HttpResponse:
    """For the owner and staff."""
    given = changes.model_dump(exclude_unset=True)
    return answer(await in_service_thread(_changed, forum, account_of(request), given))


def _changed(forum: str, account: Account, given: dict[str, str]) -> Shape:
    number = forum_by(slug_or_id=forum)
    shape: Shape = authored(
        forums.update_forum, card="owner", forum_id=number, account=account, changes=given, now=timezone.now()
    )
    return shape


@router.delete("/forums/{forum}", response={204: None}, auth=signed_in, summary="Delete a forum")
async def delete(request: HttpRequest, forum: str) -> HttpResponse:
    """For the owner and staff."""
    await in_service_thread(_deleted, forum, account_of(request))
    return nothing()


def _deleted(forum: str, account: Account) -> None:
    forums.delete_forum(forum_id=forum_by(slug_or_id=forum), account=account, now=timezone.now())


@router.get("/forums/{forum}/events", response=Events, summary="A forum's history")
async def events(
    request: HttpRequest, forum: str, after: Annotated[int, Query(ge=0, le=2**39)] = 0, limit: Limit = 100
) -> HttpResponse:
    """The forum's events after number `after`, in order and without a gap."""
    return answer(await in_service_thread(_events, forum, after, limit))


def _events(forum: str, after: int, limit: int) -> Shape:
    found = event_queries.events_after(forum_by(slug_or_id=forum), after, limit)
    following = str(found[-1]["number"]) if len(found) == limit else None
    return {"items": found, "next": following, "previous": None}
