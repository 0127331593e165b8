"""Reading moves: their shape for readers, the ones running, the ones that wait for a mover."""

from datetime import datetime
from typing import Any

from django.db.models import Case, F, Q, When

from forum_backend.data.control.moves.models import Move, StatusEvent
from forum_backend.domain.errors import NotFound
from forum_backend.domain.moves import EXCLUSIVE, PAUSABLE, RUNNING, SETTLED, MoveState
from forum_backend.queries.admission import waiting_moves
from forum_backend.queries.paging import Order, read_page
from forum_backend.queries.shapes import optional_timestamp, timestamp

AT_ONCE = 50
NEWEST_FIRST = Order("moves", ("id",), (int,), is_descending=True)


def move_shape(move: Move) -> dict[str, Any]:
    """A move as readers see it."""
    return {
        "id": str(move.pk),
        "forum": str(move.forum_id),
        "slug": move.forum.slug,
        "source": move.source_id,
        "target": move.target_id,
        "state": str(move.state),
        "rows_done": move.rows_done,
        "rows_total": move.rows_total,
        "rows_per_s": move.rows_per_s,
        "lag": move.lag,
        "throttled_by": move.throttled_by,
        "waits_for": move.waits_for,
        "predicted_window_ms": move.predicted_window_ms,
        "window_ms": move.window_ms,
        "verdict": move.verdict,
        "pause_at": move.pause_at,
        "is_cancelled": move.is_cancelled,
        "rolls_back": None if move.rolls_back_id is None else str(move.rolls_back_id),
        "reversible_until": optional_timestamp(move.reversible_until),
        "reason": move.reason,
        "attempts": move.attempts,
        "created_at": timestamp(move.created_at),
        "finished_at": optional_timestamp(move.finished_at),
        "error": move.error,
    }


def get_move(move_id: int) -> Move:
    """One move, or ``NotFound``."""
    move = Move.objects.filter(pk=move_id).select_related("forum").first()
    if move is None:
        raise NotFound("move", move_id)
    return move


def move_page(*, cursor: str | None, limit: int, is_running: bool | None = None) -> dict[str, Any]:
    """Moves, newest first, all or only those that run or do not."""
    moves = Move.objects.select_related("forum")
    if is_running is not None:
        moves = moves.filter(state__in=sorted(RUNNING)) if is_running else moves.exclude(state__in=sorted(RUNNING))
    page = read_page(moves, order=NEWEST_FIRST, cursor=cursor, limit=limit)
    return page.answer([move_shape(move) for move in page.rows])


def history_of(*, move_id: int, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
    """The states a move went through after status number ``after``: the number, and the move as it was then."""
    events = StatusEvent.objects.filter(move_id=move_id, number__gt=after).order_by("number")
    return list(events.values_list("number", "data")[:AT_ONCE])


def due_moves(*, now: datetime, limit: int = AT_ONCE, move_id: int | None = None) -> list[tuple[int, int]]:
    """Id and token of moves (or of one) that wait for a mover: not before their time, not leased, not paused.

    Those before their fence only as the limits allow; those that hold writers up come first, what cleans up last.
    """
    free = Q(leased_until=None) | Q(leased_until__lt=now)
    due = Move.objects.filter(free, state__in=sorted(RUNNING), not_before__lte=now).exclude(pause_at=F("state"))
    if move_id is not None:
        due = due.filter(pk=move_id)
    due = due.exclude(pk__in=list(waiting_moves(now=now)))
    urgency = Case(
        When(state__in=sorted(EXCLUSIVE - PAUSABLE), then=0), When(state__in=sorted(SETTLED), then=2), default=1
    )  # fmt: skip
    return list(due.order_by(urgency, "pk").values_list("pk", "token")[:limit])


def moves_with_leftovers(*, limit: int = AT_ONCE) -> list[int]:
    """Moves that were given up and whose rows have to be taken off their targets."""
    left = Move.objects.filter(state=MoveState.ABORTED, has_leftovers=True)
    return list(left.order_by("pk").values_list("pk", flat=True)[:limit])
