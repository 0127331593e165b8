"""CLEANED: the rows that stayed on the source are deleted in chunks; its ownership row stays, as a tombstone."""

from forum_backend.domain.moves import MoveState, OwnershipMode
from forum_backend.services.forum_rows import purge_chunk
from forum_backend.services.ownership import OwnershipRefused
from workers.rebalance.mover import Mover
from workers.rebalance.patience import patiently
from workers.rebalance.step import Step

MAX_CHUNKS = 50


def clean(mover: Mover) -> bool:
    """Delete while the source is departed at this epoch; if the forum is coming back, that move purges for itself."""
    try:
        for _ in range(MAX_CHUNKS):
            if not delete_some(mover):
                return True
    except OwnershipRefused as refusal:
        departed = (OwnershipMode.DEPARTED, mover.move.epoch)
        if (refusal.ownership.mode, refusal.ownership.epoch) == departed:
            raise  # by an older token
        return True
    return False


def delete_some(mover: Mover) -> int:
    """One chunk; how many rows it deleted."""
    move, deleted = mover.move, 0

    def delete() -> None:
        nonlocal deleted
        deleted = purge_chunk(
            mover.source, forum=move.forum_id, epoch=move.epoch, token=move.token, mode=OwnershipMode.DEPARTED
        )

    patiently(delete)
    return deleted


STEP = Step("clean", MoveState.DEPARTED, MoveState.CLEANED, clean)
