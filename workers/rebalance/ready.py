"""READY: caught up again, until what is left fits into the budget of the fence."""

from django.conf import settings

from forum_backend.domain.moves import MoveState
from workers.rebalance.catch_up import BATCH, lag_of, timed_batch
from workers.rebalance.mover import Mover
from workers.rebalance.step import Step

# The rest of the budget is for what cannot be foreseen.
SHARE_OF_BUDGET = 0.5
ROUNDS = 50


def make_ready(mover: Mover) -> bool:
    """Batches become smaller while they are faster than the writers; False if that does not happen in time."""
    flow = mover.forward
    for _round in range(ROUNDS):
        entries, ms = timed_batch(flow)
        mover.move.lag = lag_of(flow)
        mover.move.predicted_window_ms = round(predict(mover, entries=entries, ms=ms), 1)
        limit_ms = settings.MOVE_BUDGET_MS * SHARE_OF_BUDGET
        if entries < BATCH and mover.move.predicted_window_ms <= limit_ms:
            mover.move.throttled_by = ""
            return True
        mover.move.throttled_by = (
            f"a fence would take {mover.move.predicted_window_ms:.0f} ms, at most {limit_ms:.0f} may"
        )
        mover.report()
        if mover.is_time_up:
            break
    return False


def predict(mover: Mover, *, entries: int, ms: float) -> float:
    """The window: as long as bringing over what waits takes, and what any fence takes."""
    per_entry = ms / entries if entries else 0.0
    least = mover.fixed_ms()
    return least + per_entry * mover.move.lag


STEP = Step("ready", MoveState.VERIFIED, MoveState.READY, make_ready)
