"""Staff: plans that make the fleet more even, made without moving anything, then applied. Mounted at the root."""

from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import Field

from forum_backend.api.access import account_of
from forum_backend.api.moves import StaffBearer
from forum_backend.api.schemas import Cursor, Limit, Request
from forum_backend.queries.plans import get_plan, plan_page, plan_shape
from forum_backend.services.accounts import Account
from forum_backend.services.crossing import in_service_thread
from forum_backend.services.plans import apply_plan, make_plan, rules_with


class PlannedMoveOut(Schema):
    """One move of a plan; once the plan is applied, either the ``move`` it became or why it was ``refused``."""

    forum: str
    slug: str
    source: str
    target: str
    reason: str
    duration_s: float = Field(description="How long it is predicted to take.")
    window_ms: float = Field(description="How long no shard is predicted to take writes of the forum.")
    spread_after: float = Field(description="How uneven the fleet is after it; each move makes it less.")
    move: str | None = None
    refused: str | None = None


class ShardLoadOut(Schema):
    name: str
    is_draining: bool
    answers: bool
    rows: float
    bytes: float
    writes_s: float
    reads_s: float


class FleetOut(Schema):
    """``excess``: by which share of the average the fullest shard is above it, in its worst respect."""

    spread: float
    excess: float
    shards: list[ShardLoadOut]


class HeldOut(Schema):
    """A forum of a drained shard that cannot leave now."""

    forum: str
    shard: str
    reason: str


class RulesOut(Schema):
    threshold: float
    drains_only: bool
    moves_in_all: int
    moves_per_shard: int


class PlanOut(Schema):
    hash: str
    created_at: str
    applied_at: str | None
    note: str
    moves: list[PlannedMoveOut]
    before: FleetOut
    after: FleetOut
    held: list[HeldOut]
    rules: RulesOut


class PlansOut(Schema):
    items: list[PlanOut]
    next: str | None
    previous: str | None


class NewPlan(Request):
    """All may be left out."""

    threshold: Annotated[float | None, Field(ge=0, le=100, description="0.2: up to 20 % above the average")] = None
    moves_in_all: Annotated[int | None, Field(ge=0, le=1000)] = None
    moves_per_shard: Annotated[int | None, Field(ge=0, le=1000)] = None


router = Router(auth=StaffBearer(), tags=["plans"])


@router.post("/plans", response={201: PlanOut}, summary="Make a plan; nothing moves")
async def create_plan(request: HttpRequest, new: NewPlan) -> Status[dict[str, Any]]:
    return Status(201, await in_service_thread(_make, new=new, account=account_of(request)))


@router.get("/plans", response=PlansOut, summary="Plans, newest first")
async def list_plans(request: HttpRequest, cursor: Cursor = None, limit: Limit = 20) -> dict[str, Any]:
    return await in_service_thread(plan_page, cursor=cursor, limit=limit)


@router.get("/plans/{digest}", response=PlanOut, summary="One plan")
async def show_plan(request: HttpRequest, digest: str) -> dict[str, Any]:
    return plan_shape(await in_service_thread(get_plan, digest))


@router.post("/plans/{digest}/apply", response={202: PlanOut}, summary="Ask for the moves of a plan")
async def apply(request: HttpRequest, digest: str) -> Status[dict[str, Any]]:
    """Refused (409) when the fleet has changed since the plan was made, or was applied already."""
    return Status(202, await in_service_thread(_apply, digest=digest, account=account_of(request)))


def _make(*, new: NewPlan, account: Account) -> dict[str, Any]:
    rules = rules_with(**new.model_dump())
    return plan_shape(make_plan(requested_by=account.id, now=timezone.now(), rules=rules))


def _apply(*, digest: str, account: Account) -> dict[str, Any]:
    return plan_shape(apply_plan(digest=digest, requested_by=account.id, now=timezone.now()))
