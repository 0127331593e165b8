"""The history of the fleet for those who follow it: moves and shards, with gap-free numbers."""

from typing import Any

from django.db.models import Max

from forum_backend.data.control.moves.models import Move, StatusEvent
from forum_backend.domain.moves import RUNNING
from forum_backend.queries.moves import move_shape
from forum_backend.queries.shapes import timestamp
from forum_backend.queries.shards import shard_states
from forum_backend.queries.snapshots import one_view

PAGE = 100
MOVES = 20
CONTROL = "default"


def status_after(after: int, limit: int = PAGE) -> list[dict[str, Any]]:
    """The status events with numbers above ``after``, in order."""
    return [status_shape(event) for event in StatusEvent.objects.filter(number__gt=after).order_by("number")[:limit]]


def status_shape(event: StatusEvent) -> dict[str, Any]:
    """A status event as readers see it."""
    return {"number": event.number, "type": event.type, "at": timestamp(event.at), "data": event.data}


def last_status_number() -> int:
    """The number of the newest status event; 0 before the first."""
    return StatusEvent.objects.aggregate(last=Max("number"))["last"] or 0


def status_snapshot() -> tuple[int, dict[str, Any]]:
    """The last number and, as of it, the shards with their loads, the running moves and the last finished ones."""
    with one_view(CONTROL):
        number = last_status_number()
        moves = Move.objects.select_related("forum").order_by("-pk")
        running = [move_shape(move) for move in moves.filter(state__in=sorted(RUNNING))[:PAGE]]
        finished = [move_shape(move) for move in moves.exclude(state__in=sorted(RUNNING))[:MOVES]]
        shards = shard_states()
    return number, {"shards": shards, "moves": {"running": running, "finished": finished}}
