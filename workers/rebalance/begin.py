"""COPYING begins: every change is in the source's log from now on, nothing is copied yet."""

from forum_backend.domain.moves import MoveState
from workers.rebalance import progress
from workers.rebalance.mover import Mover
from workers.rebalance.step import Step


def begin(mover: Mover) -> bool:
    """No table is copied yet."""
    progress.begin(mover.target, forum=mover.move.forum_id, is_copied=False)
    return True


def find(mover: Mover) -> bool:
    """A rollback finds its rows in place: they were kept up to date, and have to be verified only."""
    progress.begin(mover.target, forum=mover.move.forum_id, is_copied=True)
    return True


STEP = Step("begin", MoveState.ARMED, MoveState.COPYING, begin)
ROLLBACK = Step("begin", MoveState.ARMED, MoveState.CATCHING_UP, find)
