"""COPYING begins: every change is in the source's log from now on, nothing is copied yet."""

from forum_backend.domain.moves import MoveState
from forum_backend.services.forum_rows import last_keys_query
from workers.rebalance import progress
from workers.rebalance.mover import Mover
from workers.rebalance.step import Step


def begin(mover: Mover) -> bool:
    """No table is copied yet. What is inserted from now on has a higher key than any row here, or is in the log."""
    forum = mover.move.forum_id
    last_keys = dict(mover.source.execute(last_keys_query(forum)).fetchall())
    progress.begin(mover.target, forum=forum, last_keys=last_keys)
    return True


def find(mover: Mover) -> bool:
    """A rollback finds its rows in place: they were kept up to date, and have to be verified only."""
    progress.begin(mover.target, forum=mover.move.forum_id, last_keys=None)
    return True


STEP = Step("begin", MoveState.ARMED, MoveState.COPYING, begin)
ROLLBACK = Step("begin", MoveState.ARMED, MoveState.CATCHING_UP, find)
