"""REVERSIBLE begins: the source's log has served its purpose; for a while the move can be taken back."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from forum_backend.domain.moves import MoveState, OwnershipMode
from forum_backend.services.move_recovery import depart
from forum_backend.services.ownership import OwnershipRefused, enter_as_mover
from workers.rebalance.mover import Mover
from workers.rebalance.step import Step


def keep(mover: Mover) -> bool:
    """From here the retention time runs. The source's log named what the target has now; nobody needs it."""
    move = mover.move
    try:
        with mover.source.transaction():
            enter_as_mover(
                mover.source, forum=move.forum_id, epoch=move.epoch, token=move.token, mode=OwnershipMode.DEPARTED
            )
            mover.source.execute("DELETE FROM changed_row WHERE forum_id = %s", (move.forum_id,))
    except OwnershipRefused as refusal:
        if (refusal.ownership.mode, refusal.ownership.epoch) == (OwnershipMode.FENCED, move.epoch):
            depart(mover.source, move)  # a crash took away that it had
            return False
        # Else the forum is on its way back already.
    until = timezone.now() + timedelta(seconds=settings.MOVE_RETENTION_S)
    move.reversible_until = until
    return True


STEP = Step("keep", MoveState.DEPARTED, MoveState.REVERSIBLE, keep)
