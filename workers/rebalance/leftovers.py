"""After ABORTED: rows that were copied for nothing are taken off the target, unless another move is at it by now."""

import time

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.moves import MoveState, OwnershipMode
from forum_backend.queries.move_limits import read_limits
from forum_backend.services.move_recovery import mark_aborted
from forum_backend.services.ownership import Limits, OwnershipRefused, connected
from workers.rebalance import progress
from workers.rebalance.purge import purged
from workers.rebalance.throttle import Throttle

TIME_LIMIT_S = 5.0


def purge_leftovers(*, move_id: int, time_limit_s: float = TIME_LIMIT_S) -> bool:
    """Delete in chunks for a few seconds; whether nothing is left. Safe to be called twice, or late."""
    move = Move.objects.filter(pk=move_id, state=MoveState.ABORTED, has_leftovers=True).first()
    if move is None:
        return True
    deadline = time.monotonic() + time_limit_s

    def has_time(_reason: str = "") -> bool:
        return time.monotonic() <= deadline

    throttle = Throttle((move.target_id,), tell=has_time, limits=read_limits)
    try:
        with connected(move.target_id, Limits(statement_ms=20_000)) as target:
            mark_aborted(target, move)  # who was away when the move was given up has not heard of it
            if not purged(
                target, forum=move.forum_id, epoch=move.epoch + 1, token=move.token, mode=OwnershipMode.ABORTED,
                throttle=throttle, goes_on=has_time,
            ):  # fmt: skip
                return False
            progress.forget(target, forum=move.forum_id)
    except OwnershipRefused:
        pass  # the forum is expected there anew, and that move purges for itself
    finally:
        throttle.stop()
    Move.objects.filter(pk=move.pk).update(has_leftovers=False)
    return True
