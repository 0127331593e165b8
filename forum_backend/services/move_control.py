"""What an operator may ask of a move while it runs, and afterwards: wait, go on, give up, take it back, look again."""

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from forum_backend.data.control.directory.models import Shard
from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import MoveRefused
from forum_backend.domain.moves import EXCLUSIVE, PAUSABLE, MoveState, OwnershipMode
from forum_backend.queries.moves import get_move, move_shape
from forum_backend.services.move_recovery import unavailable
from forum_backend.services.moves import checked_pause, next_token
from forum_backend.services.ownership import Limits, OwnershipRefused, connected, raise_token
from forum_backend.services.status_events import record_status


def pause_move(*, move_id: int, at: str, now: datetime) -> Move:
    """Let the move wait in state ``at`` once it gets there, or where it is if ``at`` is empty."""
    with transaction.atomic(using="default"):
        move = _locked(move_id)
        wanted = checked_pause(at) or (move.state if move.state in PAUSABLE else MoveState.READY)
        if move.state not in PAUSABLE or not _comes_to(move, MoveState(wanted)):
            raise MoveRefused(f"Move {move.pk} is {move.state}: it does not come to {wanted} any more")
        return _changed(move, now=now, pause_at=wanted)


def resume_move(*, move_id: int, now: datetime) -> Move:
    """Go on at once; also past the pause after a failed attempt."""
    with transaction.atomic(using="default"):
        move = _locked(move_id)
        if move.state not in PAUSABLE:
            raise MoveRefused(f"Move {move.pk} is {move.state}: it does not wait")
        return _changed(move, now=now, pause_at="", not_before=now)


def cancel_move(*, move_id: int, now: datetime) -> Move:
    """Give the move up before its fence; the next mover does it, within a second or two."""
    with transaction.atomic(using="default"):
        move = _locked(move_id)
        if move.state not in PAUSABLE:
            advice = ", but it can be rolled back" if move.state == MoveState.REVERSIBLE else ""
            raise MoveRefused(f"Move {move.pk} is {move.state}: it cannot be cancelled any more{advice}")
        return _changed(move, now=now, is_cancelled=True, pause_at="", not_before=now)


def rollback_move(*, move_id: int, requested_by: int | None, now: datetime) -> Move:
    """Bring the forum back where it came from, without a copy: a move the other way, its rows being there still.

    ``MoveRefused`` if the retention time is over, or if the forum went on since.
    """
    with transaction.atomic(using="default"):
        token = next_token(get_move(move_id).forum_id)  # first, as movers do: two locks, one order
        move = _locked(move_id)
        _refuse_unless_reversible(move, now=now)
        # From here on nobody ends the log that the way back lives from: every older token is refused there.
        _claim(move, token=token)
        back = Move(
            forum_id=move.forum_id, source_id=move.target_id, target_id=move.source_id, epoch=move.epoch + 1,
            token=token, rows_total=move.rows_total, rolls_back=move, requested_by_id=requested_by,
            not_before=now, created_at=now, reason=f"takes move {move.pk} back",
        )  # fmt: skip
        try:
            with transaction.atomic(using="default"):
                back.save(force_insert=True)
        except IntegrityError as error:
            raise MoveRefused(f"Forum {move.forum_id} is on the move already") from error
        record_status(type="move.planned", data=move_shape(back), now=now, move_id=back.pk)
        _changed(move, now=now, state=MoveState.CLEANED, finished_at=now, leased_until=None, token=token)
    return back


def _refuse_unless_reversible(move: Move, *, now: datetime) -> None:
    if move.state != MoveState.REVERSIBLE:
        raise MoveRefused(f"Move {move.pk} is {move.state}: only a reversible one can be rolled back")
    if move.reversible_until is None or move.reversible_until <= now:
        raise MoveRefused(f"Move {move.pk} could be rolled back until {move.reversible_until}")
    if Move.objects.filter(forum_id=move.forum_id, state__in=sorted(EXCLUSIVE)).exists():
        raise MoveRefused(f"Forum {move.forum_id} is on the move already")
    if Move.objects.filter(forum_id=move.forum_id, pk__gt=move.pk).exclude(state=MoveState.ABORTED).exists():
        raise MoveRefused(f"Forum {move.forum_id} was moved again since")
    source = Shard.objects.get(pk=move.source_id)
    if source.state != Shard.State.ACTIVE:
        raise MoveRefused(f"{source.pk} is {source.state}: it takes no forums")


def _claim(move: Move, *, token: int) -> None:
    try:
        with unavailable(move.target_id), connected(move.target_id, Limits()) as target:
            row = raise_token(target, forum=move.forum_id, token=token)
    except OwnershipRefused as error:
        raise MoveRefused(f"{move.target_id} says: {error.detail}") from error
    if (row.mode, row.epoch, row.capture) != (OwnershipMode.OWNER, move.epoch + 1, True):
        raise MoveRefused(f"{move.target_id} has not logged everything that changed since the move")


def _locked(move_id: int) -> Move:
    get_move(move_id)
    return Move.objects.select_for_update(no_key=True).get(pk=move_id)


def _changed(move: Move, *, now: datetime, **changes: Any) -> Move:
    state = MoveState(move.state)
    for name, value in changes.items():
        setattr(move, name, value)
    move.save(update_fields=list(changes))
    kind = move.state if move.state != state else "changed"
    record_status(type=f"move.{kind}", data=move_shape(move), now=now, move_id=move.pk)
    return move


def _comes_to(move: Move, wanted: MoveState) -> bool:
    """Whether a move passes ``wanted`` on its way forward, or is there. A rollback has nothing to copy."""
    if move.rolls_back_id is not None and wanted == MoveState.COPYING:
        return False
    order = list(MoveState)
    return order.index(wanted) >= order.index(MoveState(move.state))
