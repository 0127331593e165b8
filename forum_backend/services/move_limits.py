"""Changing the limits of copies while they run: movers see it within a second."""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from django.db import transaction

from forum_backend.data.control.moves.models import MoveLimits
from forum_backend.domain.errors import Invalid
from forum_backend.domain.limits import CopyLimits
from forum_backend.queries.move_limits import ROW, limits_shape, read_limits
from forum_backend.services.status_events import record_status

# Each with the least and the most that make sense.
BOUNDS = {
    "rows_per_second": (1, 10_000_000),
    "slow_factor": (1.0, 100.0),
    "slow_ms": (0.0, 10_000.0),
    "lag_s": (0.1, 3_600.0),
}


def change_limits(*, now: datetime, **changes: float | None) -> dict[str, Any]:
    """Set the limits that are named, leave the others; ``rows_per_second`` None or 0 lifts that one.

    Raises ``Invalid`` for a figure that makes no sense. Returns the shape of all of them.
    """
    checked = {name: _checked(name, value) for name, value in changes.items()}
    with transaction.atomic(using="default"):
        MoveLimits.objects.get_or_create(pk=ROW, defaults=asdict(CopyLimits()))
        MoveLimits.objects.select_for_update().get(pk=ROW)
        limits = replace(read_limits(), **checked)
        MoveLimits.objects.filter(pk=ROW).update(**asdict(limits), changed_at=now)
        shape = limits_shape()
        record_status(type="moves.limits", data=shape, now=now)
    return shape


def _checked(name: str, value: float | None) -> Any:
    if name == "rows_per_second" and not value:
        return None
    least, most = BOUNDS[name]
    if value is None or not least <= value <= most:
        raise Invalid(f"{name}: {value} is not from {least:g} to {most:g}", fields={name: f"{least:g} to {most:g}"})
    return value
