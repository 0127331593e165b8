"""FENCED: nobody writes the forum. Its gate is closed first: writers who meet the fence wait there, without polling."""

import time

from forum_backend.domain.moves import MoveState, OwnershipMode
from forum_backend.services.forum_rows import FORUM_TABLES, copy_table, digest
from workers.rebalance.mover import Mover
from workers.rebalance.patience import patiently
from workers.rebalance.step import Recorded, Step

NO_FORUM = 0


def fence(mover: Mover) -> bool:
    """Close the gate, warm up, then fence under the exclusive lock."""
    patiently(lambda: close_gate(mover))
    warm_up(mover)
    mover.reach("fence.gate_closed")
    patiently(lambda: raise_fence(mover))
    return True


def warm_up(mover: Mover) -> None:
    """Both connections open and known to answer, tables looked up, statements planned: before anybody has to wait."""
    for connection in (mover.source, mover.target):
        digest(connection, NO_FORUM)
    for table in FORUM_TABLES:
        copy_table(mover.source, mover.target, table=table, forum=NO_FORUM)


def close_gate(mover: Mover) -> None:
    """Hold the gate's lock in a transaction that stays open until the fence is down again."""
    mover.gate.execute("BEGIN")
    try:
        mover.gate.execute("SELECT pg_advisory_xact_lock(forum_gate_key(%s))", (mover.move.forum_id,))
    except BaseException:
        mover.gate.rollback()
        raise


def raise_fence(mover: Mover) -> None:
    """From the moment the lock is asked for, writers queue behind it: the window is counted from there."""
    mover.fence_began_at = time.monotonic()
    epoch = mover.move.epoch
    mover.change(
        mover.source, modes=(OwnershipMode.OWNER,), from_epoch=epoch, mode=OwnershipMode.FENCED, epoch=epoch,
        capture=True, went_to=mover.move.target_id,
    )  # fmt: skip


# Recorded before it is done: who finds a fence finds a move that says so.
STEP = Step("fence", MoveState.ARMED, MoveState.FENCED, fence, Recorded.BEFORE)
