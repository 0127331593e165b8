"""PREPARED: the target expects the forum at the next epoch, holds none of its rows, and gives out later ids."""

from forum_backend.domain.moves import MoveState, OwnershipMode
from forum_backend.services.forum_rows import purge_chunk
from forum_backend.services.ownership import NOT_SERVING
from workers.rebalance.mover import Mover
from workers.rebalance.patience import patiently
from workers.rebalance.sequence import lift_before_fence
from workers.rebalance.step import Step

MAX_CHUNKS = 50  # a step is bounded; what is left is for the next run of it


def prepare(mover: Mover) -> bool:
    """Take the target's ownership row, purge what an earlier move left, lift the sequence."""
    move = mover.move
    patiently(
        lambda: mover.change(
            mover.target, modes=NOT_SERVING, from_epoch=None, mode=OwnershipMode.INCOMING, epoch=move.epoch + 1
        )
    )
    mover.reach("prepare.incoming")
    for _ in range(MAX_CHUNKS):
        if not purge_chunk(
            mover.target, forum=move.forum_id, epoch=move.epoch + 1, token=move.token, mode=OwnershipMode.INCOMING
        ):
            lift_before_fence(mover.source, mover.target)
            return True
    return False


STEP = Step("prepare", MoveState.PLANNED, MoveState.PREPARED, prepare)
