"""Telling those who watch the fleet what is new: figures that changed, a shard that went silent or came back."""

from datetime import datetime
from typing import Any

from django.db import transaction

from forum_backend.data.control.moves.models import StatusEvent
from forum_backend.queries.status import last_status_number
from forum_backend.services.status_events import record_status

# What was told longer ago is told again: so much history is looked at, and no more.
LOOKED_AT = 5_000


def tell_fleet(states: list[dict[str, Any]], *, now: datetime) -> None:
    """Record one event for each shard of which something else was told last, or nothing."""
    with transaction.atomic(using="default"):
        told = _told_last()
        for state in states:
            if state != told.get(state["name"]):
                record_status(type="shard.silent" if state["is_down"] else "shard.measured", data=state, now=now)


def _told_last() -> dict[str, dict[str, Any]]:
    """The newest news of each shard."""
    events = StatusEvent.objects.filter(number__gt=last_status_number() - LOOKED_AT, type__startswith="shard.")
    return {data.get("name", ""): data for data in events.order_by("number").values_list("data", flat=True)}
