"""DEPARTED: the source redirects, the gate opens, the directory knows, everybody is told."""

from django.utils import timezone

from forum_backend.domain.moves import MoveState
from forum_backend.services import moves
from forum_backend.services.move_recovery import depart as depart_source
from workers.rebalance.mover import Mover
from workers.rebalance.step import Recorded, Step


def depart(mover: Mover) -> bool:
    """Open the gate as soon as those who waited at it are redirected; then write down where the forum lives."""
    depart_source(mover.source, mover.move)
    mover.gate.rollback()
    mover.window_ms = round(mover.elapsed_ms(), 2)
    mover.reach("depart.gate_opened")
    moves.arrive(
        mover.move, MoveState.ACTIVATED, MoveState.DEPARTED, now=timezone.now(),
        window_ms=mover.window_ms, lag=0, error="",
    )  # fmt: skip
    return True


STEP = Step("depart", MoveState.ACTIVATED, MoveState.DEPARTED, depart, Recorded.BY_ITSELF)
