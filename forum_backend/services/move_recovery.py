"""Settling a move that stopped half way: forward if the target owns the forum, else back. Safe for anybody, any time.

The target is asked first, always: its row decides, under its lock. Marked ``aborted`` by a higher token it can no
longer be activated, by nobody; only then may the source be opened again.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.utils import timezone

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import ForumMoving, ShardPromoted, ShardUnavailable, TokenRefused, Unavailable
from forum_backend.domain.moves import COMMITTED, EXCLUSIVE, MoveState, OwnershipMode
from forum_backend.services import failpoints, moves
from forum_backend.services.ownership import (
    LOCK_TIMEOUT_STATE,
    NOT_SERVING,
    Change,
    Limits,
    OwnershipRefused,
    connected,
    raise_token,
    set_ownership,
)
from routers.limited import LimitedConnection
from routers.refusals import PROMOTED, is_connection_lost

logger = logging.getLogger(__name__)

LIMITS = Limits(lock_ms=1_000, statement_ms=2_000, idle_ms=2_000)
GATE_LIMITS = Limits(lock_ms=1_500, statement_ms=2_000, idle_ms=10_000)
# Under a fence, or past the commit point with the news not told yet.
SERVING = (OwnershipMode.OWNER, OwnershipMode.FENCED)
UNSETTLED = frozenset({MoveState.FENCED, MoveState.ACTIVATED})


def recover_forum(forum_id: int, *, fenced_on: str | None = None) -> None:
    """Open a forum whose fence stands while nobody holds its gate. Called by writers: bounded, one at a time.

    Returns when the forum is open again on one of the two shards, or another one is seeing to it; ``Unavailable``
    when that cannot be told now, because the target does not answer.
    """
    move = Move.objects.filter(forum_id=forum_id, state__in=sorted(EXCLUSIVE)).first()
    if move is None or fenced_on not in (None, move.source_id):
        if fenced_on is not None:
            _depart_again(forum_id, fenced_on)
        return
    with unavailable(move.source_id), connected(move.source_id, GATE_LIMITS) as gate, gate.transaction():
        gate.execute("SELECT pg_advisory_xact_lock(forum_gate_key(%s))", (forum_id,))
        row = gate.execute("SELECT mode FROM ownership WHERE forum_id = %s", (forum_id,)).fetchone()
        if row is not None and row[0] == OwnershipMode.FENCED:
            recover_move(move.pk)


def _depart_again(forum_id: int, shard: str) -> None:
    """A shard that crashed just after the forum left may have lost that it did: its fence is what was durable."""
    gone = Move.objects.filter(forum_id=forum_id, source_id=shard, state__in=sorted(COMMITTED)).order_by("-pk").first()
    if gone is None:
        return
    try:
        with unavailable(shard), connected(shard, LIMITS) as source:
            depart(source, gone)
    except OwnershipRefused:
        logger.info("Another move has the forum by now", extra={"action": "recover", "forum": forum_id})


def recover_move(move_id: int) -> None:
    """Take a move over and bring its forum back into service, forward or back; nothing is copied or retried here."""
    move = moves.take_over(move_id=move_id, now=timezone.now())
    if move is None:
        return
    try:
        if move.state in UNSETTLED:
            settle(move, reason="Its mover stopped under the fence")
        else:
            moves.release(move)
    except TokenRefused:
        logger.info("Another mover is ahead", extra={"action": "recover", "move": move.pk, "forum": move.forum_id})


def settle(move: Move, *, reason: str, is_never_activated: bool = False) -> Move:
    """Decide a move that is ours by its token: forward to DEPARTED, or back to PLANNED or ABORTED.

    ``is_never_activated``: the caller raised this fence itself, with this very token, and knows that it did not ask the
    target to commit. Nobody else could have, so the source may be opened although the target does not answer.
    """
    failpoints.reach("settle.before")
    try:
        is_ruled_out = _rule_out_activation(move)
    except Unavailable:
        if not is_never_activated:
            raise
        is_ruled_out = True
    if is_ruled_out:
        failpoints.reach("settle.ruled_out")
    return _go_back(move, reason=reason) if is_ruled_out else _go_forward(move)


def _rule_out_activation(move: Move) -> bool:
    """Mark the target aborted; False if it owns the forum already."""
    try:
        with unavailable(move.target_id), connected(move.target_id, LIMITS) as target:
            mark_aborted(target, move)
    except OwnershipRefused as refusal:
        if (refusal.ownership.mode, refusal.ownership.epoch) == (OwnershipMode.OWNER, move.epoch + 1):
            return False
        raise
    return True


def mark_aborted(target: psycopg.Connection, move: Move) -> None:
    """The target is no longer to own the forum; ``OwnershipRefused`` if it does, or if a newer mover has it."""
    set_ownership(
        target,
        Change(
            forum=move.forum_id, token=move.token, modes=NOT_SERVING, from_epoch=None,
            mode=OwnershipMode.ABORTED, epoch=move.epoch + 1,
        ),
    )  # fmt: skip


def _go_back(move: Move, *, reason: str) -> Move:
    """The source serves again. What was copied is kept, and the log with it, if the attempt broke off at its fence."""
    is_last = moves.is_last_attempt(move)
    is_kept = move.state == MoveState.FENCED and not is_last
    # A rollback lives from the log since the target was activated: without it there is nothing to begin anew with.
    is_logging = is_kept or (move.rolls_back_id is not None and not is_last)
    with unavailable(move.source_id), connected(move.source_id, LIMITS) as source:
        try:
            reopen(source, move, capture=is_logging)
        except OwnershipRefused as refusal:
            if refusal.ownership.epoch == move.epoch and refusal.ownership.mode in SERVING:
                raise  # by a newer token
            return moves.give_up(move, reason=f"{reason}; {move.source_id} does not serve it", now=timezone.now())
        failpoints.reach("settle.reopened")
        retreat = MoveState.CATCHING_UP if is_kept else MoveState.PLANNED
        failed = moves.attempt_failed(move, reason=reason, now=timezone.now(), retreat=retreat)
        if not is_logging:
            drop_log(source, move)
    failpoints.reach("settle.after")
    logger.warning(
        "An attempt was undone", extra={"action": "move", "move": move.pk, "forum": move.forum_id, "state": move.state}
    )
    return failed


def reopen(source: psycopg.Connection, move: Move, *, capture: bool = False) -> None:
    """The source takes writes again, and older tokens can no longer fence it."""
    set_ownership(
        source,
        Change(
            forum=move.forum_id, token=move.token, modes=SERVING,
            from_epoch=move.epoch, mode=OwnershipMode.OWNER, epoch=move.epoch, capture=capture,
        ),
    )  # fmt: skip


def drop_log(source: LimitedConnection, move: Move) -> None:
    """Nobody needs what the source logged; unless a later mover has armed it meanwhile: that log is its own."""
    try:
        with source.transaction():
            raise_token(source, forum=move.forum_id, token=move.token)
            source.execute("DELETE FROM changed_row WHERE forum_id = %s", (move.forum_id,))
    except OwnershipRefused:
        logger.info("Another mover logs there now", extra={"action": "move", "move": move.pk, "forum": move.forum_id})


def _go_forward(move: Move) -> Move:
    now = timezone.now()
    if move.state == MoveState.FENCED:  # the directory first: the source may be down for longer
        moves.arrive(move, MoveState.ACTIVATED, now=now, rows_done=move.rows_total)
    failpoints.reach("settle.arrived")
    with unavailable(move.source_id), connected(move.source_id, LIMITS) as source:
        depart(source, move)
    failpoints.reach("settle.departed")
    told = moves.arrive(move, MoveState.DEPARTED, now=now, leased_until=None)
    failpoints.reach("settle.told")
    return told


def depart(source: psycopg.Connection, move: Move) -> None:
    """The source refuses from now on, and says where the forum went.

    Writers wait for it, so its commit is not waited for: a crash that loses it leaves the fence, which was durable, and
    whoever meets it settles the move once more.
    """
    set_ownership(
        source,
        Change(
            forum=move.forum_id, token=move.token, modes=(OwnershipMode.FENCED, OwnershipMode.DEPARTED),
            from_epoch=move.epoch, mode=OwnershipMode.DEPARTED, epoch=move.epoch,
            went_to=move.target_id, went_epoch=move.epoch + 1,
        ),
        is_durable=False,
    )  # fmt: skip


@contextmanager
def unavailable(shard: str) -> Iterator[None]:
    """A shard that does not answer, or whose lock another one holds, in the words of those who wait."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate == LOCK_TIMEOUT_STATE:
            raise ForumMoving from error
        if error.sqlstate == PROMOTED:
            raise ShardPromoted(shard) from error
        if is_connection_lost(error):
            raise ShardUnavailable(shard) from error
        raise
