"""Drives a move along its steps for a few seconds: takes the lease, walks, records, settles what goes wrong."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

import psycopg
from django.db import DatabaseError
from django.utils import timezone

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import ForumError, TokenRefused
from forum_backend.domain.moves import FINAL, PAUSABLE, RESUMABLE, SETTLED, MoveState
from forum_backend.services import failpoints, moves
from forum_backend.services.move_recovery import UNSETTLED, settle
from routers.refusals import is_connection_lost
from workers.rebalance import activate, arm, begin, catch_up, copy, depart, fence, keep, prepare, ready, reverse
from workers.rebalance.delta import RowsDiffer
from workers.rebalance.mover import DIFFERED, BudgetExceeded, LogInterrupted, Mover
from workers.rebalance.progress import ProgressLost
from workers.rebalance.sequence import SequenceTooFar
from workers.rebalance.step import Recorded, Step

logger = logging.getLogger(__name__)

_IN_ORDER = (prepare, arm, begin, copy, catch_up, ready, fence, activate, depart, keep, reverse)
STEPS: dict[MoveState, Step] = {module.STEP.begins: module.STEP for module in _IN_ORDER}
TIME_LIMIT_S = 5.0
# What was copied is worth nothing any more: the next attempt begins anew.
ANEW = (LogInterrupted, ProgressLost)
# What an attempt may run into; anything else is a mistake of ours: settled just the same, then raised.
EXPECTED = (psycopg.Error, DatabaseError, ForumError, BudgetExceeded, RowsDiffer, SequenceTooFar, *ANEW)


def drive(
    *,
    move_id: int,
    token: int,
    observe: Callable[[str], None] = failpoints.reach,
    time_limit_s: float = TIME_LIMIT_S,
    is_limited: bool = False,
) -> Move | None:
    """Take the move over if ``token`` is still its token, and bring it as far as fits; None if it is not ours.

    If it ``is_limited`` also None while as many moves run as may; without, it does not ask.
    """
    move = moves.take_over(move_id=move_id, now=timezone.now(), expected_token=token, is_limited=is_limited)
    if move is None:
        return None
    if move.state in UNSETTLED:
        return settled(move, reason="Its mover stopped under the fence")
    deadline = time.monotonic() + time_limit_s
    with Mover(move, observe, deadline=deadline) as mover:
        try:
            if move.state in RESUMABLE:
                mover.claim()
            walk(mover, deadline=deadline)
        except Exception as error:
            if isinstance(error, (TokenRefused, *ANEW)) and not moves.is_ours(move):
                logger.info("Another mover is ahead", extra={"action": "move", "move": move.pk, "forum": move.forum_id})
                return move
            logger.warning("An attempt failed", exc_info=error, extra={"action": "move", "move": move.pk})
            mover.close(keep_gate=True)
            failed(move, error, is_commit_sent=mover.is_commit_sent)
            if not isinstance(error, EXPECTED):
                raise
    return move


def walk(mover: Mover, *, deadline: float) -> None:
    """Step by step until the move is over or time is up; never stops of its own accord while a fence stands."""
    move = mover.move
    at = MoveState(move.state)
    while at not in FINAL:
        if at in PAUSABLE:
            move.refresh_from_db(fields=["pause_at", "is_cancelled"])
        if at not in UNSETTLED and (time.monotonic() > deadline or move.pause_at == at):
            break
        if move.is_cancelled and at in PAUSABLE:
            settle(move, reason="It was cancelled")
            return
        step = step_of(move, at)
        try:
            if not take(step, mover):
                break
        except moves.AskedToWait:
            continue
        at = step.ends
    if at not in FINAL:
        moves.release(move, not_before=timezone.now() + timedelta(seconds=mover.rest_s) if mover.rest_s else None)


def step_of(move: Move, at: MoveState) -> Step:
    """What leads a move on from a state."""
    if at == begin.ROLLBACK.begins and move.rolls_back_id is not None:
        return begin.ROLLBACK
    return STEPS[at]


def take(step: Step, mover: Mover) -> bool:
    """One step and its record; whether it is finished."""
    mover.reach(f"{step.name}.before")
    if step.rehearse is not None and not step.rehearse(mover):
        return False
    if step.recorded is Recorded.BEFORE:
        moves.advance(mover.move, step.ends, now=timezone.now())
        mover.reach(f"{step.name}.recorded")
    is_finished = step.run(mover)
    mover.reach(f"{step.name}.done")
    if is_finished and step.recorded is Recorded.AFTER:
        moves.advance(mover.move, step.ends, now=timezone.now(), error="")
    mover.reach(f"{step.name}.after")
    return is_finished


def failed(move: Move, error: Exception, *, is_commit_sent: bool) -> None:
    """Rows on their way stay where they are and wait for a later attempt; anything else is undone or completed."""
    if move.state in RESUMABLE and not isinstance(error, ANEW) and not moves.is_last_attempt(move):
        try:
            if is_connection_lost(error):
                moves.postpone(move, reason=reason_of(error), now=timezone.now())  # a shard that is away comes back
                return
            moves.attempt_failed(move, reason=reason_of(error), now=timezone.now(), retreat=MoveState(move.state))
        except EXPECTED as trouble:
            logger.warning(
                "A move's record was not written", exc_info=trouble, extra={"action": "move", "move": move.pk}
            )
        return
    if isinstance(error, RowsDiffer):
        move.verdict = {**(move.verdict or {}), DIFFERED: reason_of(error)}
    settled(move, reason=reason_of(error), is_never_activated=not is_commit_sent)


def settled(move: Move, *, reason: str, is_never_activated: bool = False) -> Move:
    """Undo or complete what was begun. If a shard does not answer, the lease runs out and it is tried again."""
    try:
        move.refresh_from_db(fields=["state", "attempts"])  # what was meant to be written may not have been
        if move.state in SETTLED or move.state in FINAL:
            moves.postpone(move, reason=reason, now=timezone.now())  # only rows to delete or to keep are left
            return move
        return settle(move, reason=reason, is_never_activated=is_never_activated)
    except EXPECTED as error:
        logger.warning("A move cannot be settled now", exc_info=error, extra={"action": "recover", "move": move.pk})
        return move


def reason_of(error: BaseException) -> str:
    """A failure in one line for the move's record."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
