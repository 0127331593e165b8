"""Drives a move along its steps for a few seconds: takes the lease, walks, records, settles what goes wrong."""

import logging
import time
from collections.abc import Callable

import psycopg
from django.db import DatabaseError
from django.utils import timezone

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import ForumError, TokenRefused
from forum_backend.domain.moves import FINAL, MoveState
from forum_backend.services import moves
from forum_backend.services.move_recovery import UNSETTLED, settle
from workers.rebalance import activate, arm, clean, depart, fence, prepare
from workers.rebalance.mover import BudgetExceeded, Mover, RowsDiffer
from workers.rebalance.sequence import SequenceTooFar
from workers.rebalance.step import Recorded, Step

logger = logging.getLogger(__name__)

STEPS = {module.STEP.begins: module.STEP for module in (prepare, arm, fence, activate, depart, clean)}
TIME_LIMIT_S = 5.0
# What an attempt may run into; anything else is a mistake of ours: settled just the same, then raised.
EXPECTED = (psycopg.Error, DatabaseError, ForumError, BudgetExceeded, RowsDiffer, SequenceTooFar)


def drive(
    *,
    move_id: int,
    token: int,
    observe: Callable[[str], None] = lambda _point: None,
    time_limit_s: float = TIME_LIMIT_S,
) -> Move | None:
    """Take the move over if ``token`` is still its token, and bring it as far as fits; None if it is not ours."""
    move = moves.take_over(move_id=move_id, now=timezone.now(), expected_token=token)
    if move is None:
        return None
    if move.state in UNSETTLED:
        return settled(move, reason="Its mover stopped under the fence")
    with Mover(move, observe) as mover:
        try:
            walk(mover, deadline=time.monotonic() + time_limit_s)
        except TokenRefused:
            logger.info("Another mover is ahead", extra={"action": "move", "move": move.pk, "forum": move.forum_id})
        except Exception as error:
            logger.warning("An attempt failed", exc_info=error, extra={"action": "move", "move": move.pk})
            mover.close(keep_gate=True)
            settled(move, reason=reason_of(error), is_never_activated=not mover.is_commit_sent)
            if not isinstance(error, EXPECTED):
                raise
    return move


def walk(mover: Mover, *, deadline: float) -> None:
    """Step by step until the move is over or time is up; never stops of its own accord while a fence stands."""
    move = mover.move
    at = MoveState(move.state)
    while at not in FINAL:
        if time.monotonic() > deadline and at not in UNSETTLED:
            break
        step = STEPS[at]
        if not take(step, mover):
            break
        at = step.ends
    if at not in FINAL:
        moves.release(move)


def take(step: Step, mover: Mover) -> bool:
    """One step and its record; whether it is finished."""
    mover.reach(f"{step.name}.before")
    if step.recorded is Recorded.BEFORE:
        moves.advance(mover.move, step.ends, now=timezone.now())
        mover.reach(f"{step.name}.recorded")
    is_finished = step.run(mover)
    mover.reach(f"{step.name}.done")
    if is_finished and step.recorded is Recorded.AFTER:
        moves.advance(mover.move, step.ends, now=timezone.now(), error="")
    mover.reach(f"{step.name}.after")
    return is_finished


def settled(move: Move, *, reason: str, is_never_activated: bool = False) -> Move:
    """Undo or complete what was begun. If a shard does not answer, the lease runs out and it is tried again."""
    try:
        move.refresh_from_db(fields=["state", "attempts"])  # what was meant to be written may not have been
        if move.state == MoveState.DEPARTED or move.state in FINAL:
            moves.postpone(move, reason=reason, now=timezone.now())  # only rows to delete are left
            return move
        return settle(move, reason=reason, is_never_activated=is_never_activated)
    except EXPECTED as error:
        logger.warning("A move cannot be settled now", exc_info=error, extra={"action": "recover", "move": move.pk})
        return move


def reason_of(error: BaseException) -> str:
    """A failure in one line for the move's record."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
