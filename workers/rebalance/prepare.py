"""PREPARED: the target expects the forum at the next epoch, holds none of its old rows, and gives out later ids.

A rollback keeps the rows that it finds: they were kept up to date.
"""

from django.utils import timezone

from forum_backend.domain.moves import MoveState, OwnershipMode
from forum_backend.services.doctor import refuse_what_stops
from forum_backend.services.ownership import NOT_SERVING
from workers.rebalance.mover import Mover
from workers.rebalance.patience import patiently
from workers.rebalance.purge import purged
from workers.rebalance.sequence import lift_before_fence
from workers.rebalance.step import Step


def prepare(mover: Mover) -> bool:
    """Take the target's ownership row, purge what an earlier move left, lift the sequence."""
    move = mover.move
    refuse_what_stops(forum_id=move.forum_id, target=move.target_id, own_move=move.pk, now=timezone.now())
    patiently(
        lambda: mover.change(
            mover.target, modes=NOT_SERVING, from_epoch=None, mode=OwnershipMode.INCOMING, epoch=move.epoch + 1
        )
    )
    mover.reach("prepare.incoming")
    if move.rolls_back_id is None and not purged(
        mover.target, forum=move.forum_id, epoch=move.epoch + 1, token=move.token, mode=OwnershipMode.INCOMING,
        throttle=mover.throttle, goes_on=mover.goes_on,
    ):  # fmt: skip
        return False
    mover.unthrottled()
    lift_before_fence(mover.source, mover.target)
    return True


STEP = Step("prepare", MoveState.PLANNED, MoveState.PREPARED, prepare)
