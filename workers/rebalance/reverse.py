"""REVERSIBLE: what is written on the target is brought back to the source, so that a rollback needs no copy."""

import logging

from django.utils import timezone

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.moves import MoveState, OwnershipMode
from forum_backend.services import moves
from forum_backend.services.move_recovery import depart
from forum_backend.services.ownership import OwnershipRefused
from workers.rebalance import progress
from workers.rebalance.catch_up import BATCH, bring_over
from workers.rebalance.delta import read_log
from workers.rebalance.flow import forget
from workers.rebalance.mover import Mover
from workers.rebalance.patience import patiently
from workers.rebalance.purge import purged
from workers.rebalance.step import Step

logger = logging.getLogger(__name__)

EVERY_S = 5.0
LOG_CHUNK = 20_000


def reverse(mover: Mover) -> bool:
    """Keep the source's rows up to date until the time is over or another move began; then delete them."""
    try:
        if is_over(mover.move):
            return clean(mover)
        while bring_over(mover.backward) == BATCH and mover.goes_on():
            pass
    except OwnershipRefused as refusal:
        found = (refusal.ownership.mode, refusal.ownership.epoch)
        if found == (OwnershipMode.DEPARTED, mover.move.epoch):
            raise  # by an older token
        if found == (OwnershipMode.FENCED, mover.move.epoch):
            depart(mover.source, mover.move)  # a crash took away that it had
            return False
        if refusal.ownership.epoch == mover.move.epoch + 1 and refusal.ownership.mode != OwnershipMode.INCOMING:
            mover.rest_s = EVERY_S
            return False  # by the shard that serves, where a later move logs now: the next round sees it
        return True  # the forum came back or went on: its rows here are another move's
    mover.rest_s = EVERY_S
    return False


def is_over(move: Move) -> bool:
    """Whether nobody can ask for a rollback any more."""
    is_late = move.reversible_until is None or move.reversible_until <= timezone.now()
    return is_late or has_later(move)


def has_later(move: Move) -> bool:
    """Whether the forum went on, or is about to."""
    return Move.objects.filter(forum_id=move.forum_id, pk__gt=move.pk).exclude(state=MoveState.ABORTED).exists()


def clean(mover: Mover) -> bool:
    """The target stops logging, unless for another move by now; the source's rows go, its row stays as a tombstone."""
    if mover.move.reversible_until is not None:
        # Written down before anything is deleted: who asks for a rollback from now on is refused.
        mover.move.reversible_until = None
        moves.tell_progress(mover.move, now=timezone.now())
    if not has_later(mover.move):
        stop_logging(mover)
    move = mover.move
    if not purged(
        mover.source, forum=move.forum_id, epoch=move.epoch, token=move.token, mode=OwnershipMode.DEPARTED,
        throttle=mover.throttle, goes_on=mover.goes_on,
    ):  # fmt: skip
        return False
    mover.unthrottled()
    return True


def stop_logging(mover: Mover) -> None:
    """No capture on the target, nothing left in its log; a later move logs there for itself, with a higher token."""
    move, owner = mover.move, OwnershipMode.OWNER
    epoch = move.epoch + 1
    try:
        patiently(lambda: mover.change(mover.target, modes=(owner,), from_epoch=epoch, mode=owner, epoch=epoch))
        progress.forget(mover.target, forum=move.forum_id)
        while entries := read_log(mover.backward, batch=LOG_CHUNK).entries:
            forget(mover.backward, entries)
    except OwnershipRefused:
        logger.info("Another move logs there now", extra={"action": "move", "move": move.pk, "forum": move.forum_id})


STEP = Step("reverse", MoveState.REVERSIBLE, MoveState.CLEANED, reverse)
