"""Staff: the shards with their load, the moves between them, what may be asked of those. Mounted at the API's root."""

from collections.abc import Callable
from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import Field

from forum_backend.api.access import Bearer, account_of, idempotency_key
from forum_backend.api.schemas import Cursor, Limit, Request, Text
from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import Forbidden, NotFound
from forum_backend.domain.moves import MoveState
from forum_backend.queries.explanation import explain_move
from forum_backend.queries.fleet_states import fleet_states, silent_shards
from forum_backend.queries.forums import forum_by
from forum_backend.queries.moves import get_move, move_page, move_shape
from forum_backend.services.accounts import Account
from forum_backend.services.crossing import in_service_thread
from forum_backend.services.move_control import cancel_move, pause_move, resume_move, rollback_move
from forum_backend.services.moves import request_move
from forum_backend.services.verification import verify_alone

MAX_MOVE_DIGITS = 18


class StaffBearer(Bearer):
    """A token of a staff account; others are told that they may not."""

    async def authenticate(self, request: HttpRequest, token: str) -> Account:
        account = await super().authenticate(request, token)
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
    rows_per_s: float | None
    lag: int = Field(description="Changes that wait to be caught up with.")
    throttled_by: str = Field(description="Why the copy is slow now; empty: it is not.")
    waits_for: str = Field(description="A place among the moves that run; empty: it has one.")
    predicted_window_ms: float | None
    window_ms: float | None = Field(description="How long no shard took writes of the forum.")
    verdict: dict[str, Any] | None = Field(description="What was verified: rows, hash of the content, repairs.")
    pause_at: str
    is_cancelled: bool
    rolls_back: str | None = Field(description="The move that this one takes back.")
    reversible_until: str | None
    reason: str
    attempts: int
    created_at: str
    finished_at: str | None
    error: str


class PassageOut(Schema):
    """A state that a move was in; ``lasted_s`` null: it is in it still."""

    state: MoveState
    at: str
    lasted_s: float | None


class OptionOut(Schema):
    """What may be asked of a move now, and the command that does."""

    do: str
    how: str


class ExplanationOut(Schema):
    """A move told in words (``text``) and in figures."""

    move: MoveOut
    history: list[PassageOut]
    seconds_by_state: dict[str, float]
    waits: list[str] = Field(description="Why nothing happens now, or why it is slow.")
    next: str
    may: list[OptionOut]
    rows_per_s: float | None = Field(description="As rows really arrived lately, rests included.")
    remaining_s: float | None = Field(description="Until all rows are copied.")
    text: list[str]


class MovesOut(Schema):
    items: list[MoveOut]
    next: str | None
    previous: str | None


class ShardOut(Schema):
    """A shard as it was measured last; ``is_down``: it was asked just now, and did not answer."""

    name: str
    state: str
    forums_count: int
    rows_count: int
    bytes: int
    writes_s: float
    reads_s: float
    is_down: bool


class ShardsOut(Schema):
    items: list[ShardOut]
    next: None = None
    previous: None = None


class NewMove(Request):
    """``forum``: its id or slug. ``target``: a shard's name."""

    forum: Annotated[Text, Field(min_length=1, max_length=60)]
    target: Annotated[Text, Field(min_length=1, max_length=40)]
    pause_at: Annotated[Text, Field(max_length=12)] = ""


class Pause(Request):
    """``at``: the state in which to wait, such as ``ready``; empty: where it is."""

    at: Annotated[Text, Field(max_length=12)] = ""


router = Router(auth=StaffBearer(), tags=["moves"])


@router.get("/shards", response=ShardsOut, summary="The fleet")
async def list_shards(request: HttpRequest) -> dict[str, Any]:
    return {"items": await in_service_thread(_fleet)}


def _fleet() -> list[dict[str, Any]]:
    return fleet_states(silent=silent_shards())


@router.get("/moves", response=MovesOut, summary="Moves, newest first")
async def list_moves(
    request: HttpRequest,
    cursor: Cursor = None,
    limit: Limit = 50,
    running: bool | None = None,
) -> dict[str, Any]:
    return await in_service_thread(move_page, cursor=cursor, limit=limit, is_running=running)


@router.get("/moves/{move_id}", response=MoveOut, summary="One move")
async def show_move(request: HttpRequest, move_id: str) -> dict[str, Any]:
    return move_shape(await in_service_thread(get_move, _number(move_id)))


@router.get("/moves/{move_id}/explain", response=ExplanationOut, summary="A move in words")
async def explain(request: HttpRequest, move_id: str) -> dict[str, Any]:
    """What it did and when, what it does now or waits for, what comes next, what may be asked of it."""
    return await in_service_thread(explain_move, move_id=_number(move_id), now=timezone.now())


@router.post("/moves/{move_id}/pause", response=MoveOut, summary="Let a move wait")
async def pause(request: HttpRequest, move_id: str, pause: Pause) -> dict[str, Any]:
    """In a state before its fence: in `ready` all is copied and verified, and the switch takes milliseconds."""
    return await _asked(pause_move, move_id=_number(move_id), at=pause.at)


@router.post("/moves/{move_id}/resume", response=MoveOut, summary="Let a move go on")
async def resume(request: HttpRequest, move_id: str) -> dict[str, Any]:
    return await _asked(resume_move, move_id=_number(move_id))


@router.post("/moves/{move_id}/cancel", response=MoveOut, summary="Give a move up before its fence")
async def cancel(request: HttpRequest, move_id: str) -> dict[str, Any]:
    return await _asked(cancel_move, move_id=_number(move_id))


@router.post("/moves/{move_id}/rollback", response={202: MoveOut}, summary="Bring a forum back")
async def rollback(request: HttpRequest, move_id: str) -> Status[dict[str, Any]]:
    """A move the other way, without a copy; possible until `reversible_until`. Returns the new move."""
    account = account_of(request)
    return Status(202, await _asked(rollback_move, move_id=_number(move_id), requested_by=account.id))


@router.post("/forums/{forum}/verify", response=dict[str, Any], summary="Read every row of a forum")
async def verify(request: HttpRequest, forum: str) -> dict[str, Any]:
    """How many rows, and the hash of their content, by table; beside what its last move verified.

    One forum at a time: 503 while another one is read.
    """
    return await in_service_thread(_verified, forum)


def _verified(forum: str) -> dict[str, Any]:
    return verify_alone(forum_by(slug_or_id=forum)).shape()


async def _asked(service: Callable[..., Move], **request: Any) -> dict[str, Any]:
    return move_shape(await in_service_thread(service, **request, now=timezone.now()))


def _number(move_id: str) -> int:
    if not (move_id.isascii() and move_id.isdigit() and len(move_id) <= MAX_MOVE_DIGITS):
        raise NotFound("move", move_id)
    return int(move_id)


@router.post("/moves", response={202: MoveOut}, summary="Ask for a forum to be moved")
async def create_move(request: HttpRequest, new: NewMove) -> Status[dict[str, Any]]:
    """It is planned at once and done by the workers; follow it here or on `/ws/status`."""
    key, account = idempotency_key(request), account_of(request)
    return Status(202, await in_service_thread(_request, new=new, account=account, key=key))


def _request(*, new: NewMove, account: Account, key: str | None) -> dict[str, Any]:
    forum_id = forum_by(slug_or_id=new.forum)
    move = request_move(
        forum_id=forum_id, target=new.target, requested_by=account.id, now=timezone.now(), key=key,
        pause_at=new.pause_at,
    )  # fmt: skip
    return move_shape(move)
