"""Staff: how fast copies may be, changed while they run. Mounted at the API's root."""

from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from forum_backend.api.moves import StaffBearer
from forum_backend.api.schemas import Request
from forum_backend.queries.move_limits import limits_shape
from forum_backend.services.crossing import in_service_thread
from forum_backend.services.move_limits import change_limits


class LimitsOut(Schema):
    rows_per_second: int | None = Field(description="Of one copy at most; null: as fast as others do not suffer.")
    slow_factor: float = Field(description="Writes are slow when they take so many times what they take without it,")
    slow_ms: float = Field(description="and so many milliseconds longer.")
    lag_s: float = Field(description="A copy stops while a replica of its shards is farther behind.")
    changed_at: str | None


class NewLimits(Request):
    """What is left out stays as it is; ``rows_per_second`` null or 0 lifts that limit."""

    rows_per_second: Annotated[int | None, Field(ge=0)] = None
    slow_factor: float | None = None
    slow_ms: float | None = None
    lag_s: float | None = None


router = Router(auth=StaffBearer(), tags=["moves"])


@router.get("/move-limits", response=LimitsOut, summary="How fast copies may be")
async def show_limits(request: HttpRequest) -> dict[str, Any]:
    return await in_service_thread(limits_shape)


@router.patch("/move-limits", response=LimitsOut, summary="Change how fast copies may be")
async def set_limits(request: HttpRequest, new: NewLimits) -> dict[str, Any]:
    """Copies that run see it within a second."""
    return await in_service_thread(change_limits, now=timezone.now(), **new.model_dump(exclude_unset=True))
