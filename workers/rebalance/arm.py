"""ARMED: the source's writers were drained once, and log what they change from now on. It rehearses the fence."""

from forum_backend.domain.moves import MoveState, OwnershipMode
from workers.rebalance.mover import Mover
from workers.rebalance.patience import patiently
from workers.rebalance.step import Step


def arm(mover: Mover) -> bool:
    """Turn capture on under the exclusive lock; also takes the source away from movers with older tokens."""
    epoch = mover.move.epoch
    owner = OwnershipMode.OWNER
    patiently(
        lambda: mover.change(mover.source, modes=(owner,), from_epoch=epoch, mode=owner, epoch=epoch, capture=True)
    )
    return True


STEP = Step("arm", MoveState.PREPARED, MoveState.ARMED, arm)
