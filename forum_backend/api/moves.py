"""Staff: the shards with their load, the moves between them, and the request for one. Mounted at the API's root."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Router, Schema
from ninja.security import HttpBearer
from pydantic import ConfigDict

from forum_backend.domain.errors import Forbidden, Invalid, NotAuthenticated, NotFound
from forum_backend.domain.moves import MoveState
from forum_backend.queries.forums import forum_by
from forum_backend.queries.moves import get_move, move_page, move_shape
from forum_backend.queries.shards import shard_states
from forum_backend.services.accounts import Account, known_account, user_of_token
from forum_backend.services.crossing import in_service_thread
from forum_backend.services.moves import request_move

MAX_KEY = 200
MAX_MOVE_DIGITS = 18


class Staff(HttpBearer):
    """A bearer token of a staff account."""

    async def authenticate(self, request: HttpRequest, token: str) -> Account:
        account = known_account(token) or await in_service_thread(user_of_token, token)
        if account is None:
            raise NotAuthenticated
        if not account.is_staff:
            raise Forbidden
        return account


class MoveOut(Schema):
    """One forum's journey from a source shard to a target shard."""

    id: str
    forum: str
    source: str
    target: str
    state: MoveState
    rows_done: int
    rows_total: int
    window_ms: float | None = Field(description="How long no shard took writes of the forum.")
    attempts: int
    created_at: str
    finished_at: str | None
    error: str


class MovesOut(Schema):
    items: list[MoveOut]
    next: str | None
    previous: str | None


class ShardOut(Schema):
    """A shard as it was measured last; ``is_down``: it did not answer a moment ago."""

    name: str
    state: str
    forums_count: int
    rows_count: int
    bytes: int
    is_down: bool


class ShardsOut(Schema):
    items: list[ShardOut]
    next: None = None
    previous: None = None


class NewMove(Schema):
    """``forum``: its id or slug. ``target``: a shard's name."""

    model_config = ConfigDict(extra="forbid")

    forum: str = Field(min_length=1, max_length=60)
    target: str = Field(min_length=1, max_length=40)


router = Router(auth=Staff(), tags=["moves"])


@router.get("/shards", response=ShardsOut, summary="The fleet")
async def list_shards(request: HttpRequest) -> dict[str, Any]:
    return {"items": await in_service_thread(shard_states)}


@router.get("/moves", response=MovesOut, summary="Moves, newest first")
async def list_moves(
    request: HttpRequest,
    cursor: str | None = None,
    limit: int = 50,
    running: bool | None = None,
) -> dict[str, Any]:
    return await in_service_thread(move_page, cursor=cursor, limit=limit, is_running=running)


@router.get("/moves/{move_id}", response=MoveOut, summary="One move")
async def show_move(request: HttpRequest, move_id: str) -> dict[str, Any]:
    if not (move_id.isascii() and move_id.isdigit() and len(move_id) <= MAX_MOVE_DIGITS):
        raise NotFound("move", move_id)
    return move_shape(await in_service_thread(get_move, int(move_id)))


@router.post("/moves", response={202: MoveOut}, summary="Ask for a forum to be moved")
async def create_move(request: HttpRequest, new: NewMove) -> tuple[int, dict[str, Any]]:
    account: Account = request.auth  # type: ignore[attr-defined]
    return 202, await in_service_thread(_request, new=new, account=account, key=_key(request))


def _request(*, new: NewMove, account: Account, key: str | None) -> dict[str, Any]:
    forum_id = forum_by(slug_or_id=new.forum)
    move = request_move(forum_id=forum_id, target=new.target, requested_by=account.id, now=timezone.now(), key=key)
    return move_shape(move)


def _key(request: HttpRequest) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (1 <= len(key) <= MAX_KEY and all("!" <= letter <= "~" for letter in key)):
        raise Invalid("Idempotency-Key is 1 to 200 visible ASCII characters")
    return key
