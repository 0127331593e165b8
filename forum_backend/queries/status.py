"""The history of the fleet for those who follow it: moves and shards, with gap-free numbers."""

from typing import Any

from forum_backend.data.control.moves.models import StatusCounter, StatusEvent
from forum_backend.queries.fleet_states import fleet_states, silent_shards
from forum_backend.queries.shapes import timestamp
from forum_backend.queries.snapshots import one_view
from forum_backend.queries.status_moves import moves_over, moves_under_way, recent_windows

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
    """The number of the newest status event, were it forgotten by now; 0 before the first."""
    return StatusCounter.objects.values_list("last_number", flat=True).first() or 0


def status_snapshot() -> tuple[int, dict[str, Any]]:
    """The last number and, as of it, the shards, the moves under way, the last ones that are over, their windows."""
    silent = silent_shards()  # asked before: the view must not wait for them
    with one_view(CONTROL):
        number = last_status_number()
        shards = fleet_states(silent=silent)
        moves = {"running": moves_under_way(limit=PAGE), "finished": moves_over(limit=MOVES)}
        windows = recent_windows()
    return number, {"shards": shards, "moves": moves, "windows": windows}
