"""Moves as the status page has them: what may be asked of one now, when it was settled, the windows of many."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any

from django.db.models import F
from django.db.models.expressions import OrderBy
from django.utils.dateparse import parse_datetime

from forum_backend.data.control.moves.models import Move, StatusEvent
from forum_backend.domain.moves import FINAL, PAUSABLE, SETTLED, MoveState
from forum_backend.queries.moves import move_shape
from forum_backend.queries.shapes import optional_timestamp

WINDOWS = 200
# The forum lives where it was to go and everybody knows, or the move was given up: it belongs to the history.
OVER = FINAL | SETTLED
# The upper ends of the histogram's bars in milliseconds; a last bar has what is longer.
EDGES_MS = (2, 5, 10, 20, 50, 100, 150)
# The way of a move as it is shown: the clean-up long afterwards is none of it.
STEPS = tuple(state for state in MoveState if state not in (MoveState.CLEANED, MoveState.ABORTED))
BEFORE_READY = frozenset(STEPS[: STEPS.index(MoveState.READY)])
_SETTLING = (f"move.{MoveState.DEPARTED}", f"move.{MoveState.ABORTED}")
# Within a state, what is later in this order was settled later too.
_LATEST: dict[MoveState, OrderBy] = {
    MoveState.DEPARTED: F("pk").desc(),
    MoveState.REVERSIBLE: F("reversible_until").desc(nulls_last=True),
    MoveState.CLEANED: F("finished_at").desc(nulls_last=True),
    MoveState.ABORTED: F("finished_at").desc(nulls_last=True),
}


def allowed(move: dict[str, Any], *, now: datetime, taking: Collection[str]) -> list[str]:
    """What may be asked of a move (its shape) as it is now; ``taking``: the shards that take forums.

    The services decide; this is which buttons to show.
    """
    state = MoveState(move["state"])
    if state in PAUSABLE and not move["is_cancelled"]:
        can = {
            "pause": move["pause_at"] != state,
            "resume": bool(move["pause_at"] or move["error"]),
            "hold": move["pause_at"] != MoveState.READY and state in BEFORE_READY,
            "cancel": True,
        }
        return [action for action, is_allowed in can.items() if is_allowed]
    until = parse_datetime(move["reversible_until"]) if move["reversible_until"] else None
    is_open = state == MoveState.REVERSIBLE and until is not None and until > now
    return ["rollback"] if is_open and move["source"] in taking else []


def is_as_asked(*, move_id: int, do: str) -> bool:
    """Whether a move is already what was asked for: somebody else did, or the same one a moment ago."""
    moves = Move.objects.filter(pk=move_id)
    if do == "resume":
        return moves.exclude(state__in=sorted(PAUSABLE)).exclude(state=MoveState.ABORTED).exists()
    if do == "cancel":
        return moves.filter(is_cancelled=True).exists()
    if do == "rollback":
        return Move.objects.filter(rolls_back_id=move_id).exclude(state=MoveState.ABORTED).exists()
    return False


def moves_under_way(*, limit: int) -> list[dict[str, Any]]:
    """The moves that still do something, oldest first."""
    moves = Move.objects.exclude(state__in=sorted(OVER)).select_related("forum").order_by("pk")
    return [move_shape(move) for move in moves[:limit]]


def moves_over(*, limit: int) -> list[dict[str, Any]]:
    """The moves that switched or were given up last, the latest first, and when that was (``settled_at``)."""
    moves = [move for state, order in _LATEST.items() for move in _last_in(state, order, limit)]
    settled = _settled_at(moves)
    long_ago = datetime.min.replace(tzinfo=UTC)
    moves.sort(key=lambda move: (settled.get(move.pk, long_ago), move.pk), reverse=True)
    return [{**move_shape(move), "settled_at": optional_timestamp(settled.get(move.pk))} for move in moves[:limit]]


def _last_in(state: MoveState, order: OrderBy, limit: int) -> Iterable[Move]:
    return Move.objects.filter(state=state).select_related("forum").order_by(order, "-pk")[:limit]


def _settled_at(moves: Iterable[Move]) -> dict[int, datetime]:
    events = StatusEvent.objects.filter(move__in=moves, type__in=_SETTLING).order_by("number")
    return dict(events.values_list("move_id", "at"))


def recent_windows() -> list[float]:
    """How long the last moves kept their forums without writes, newest first."""
    moves = Move.objects.filter(state__in=sorted(OVER), window_ms__isnull=False).order_by("-pk")
    return [window for window in moves.values_list("window_ms", flat=True)[:WINDOWS] if window is not None]


def counts_of(windows: Sequence[float]) -> list[int]:
    """How many windows belong to each bar of the histogram: up to each edge, and beyond the last one."""
    counts = [0] * (len(EDGES_MS) + 1)
    for window in windows:
        counts[sum(1 for edge in EDGES_MS if window > edge)] += 1
    return counts


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None
