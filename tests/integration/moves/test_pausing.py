"""A pause holds where the move is, whatever the mover is at when it is asked for."""

import pytest
from django.utils import timezone

from forum_backend.data.control.moves.models import Move, StatusEvent
from forum_backend.domain.moves import MoveState
from forum_backend.queries.moves import due_moves
from forum_backend.services.move_control import cancel_move, pause_move, resume_move
from tests.integration.moves.driving import at, drive_to_end, expire_lease, owners, populated
from workers.rebalance.runner import drive


def told_last(move: Move) -> str:
    """Where the move is to wait, as those who watch know it."""
    return str(
        StatusEvent.objects.filter(move=move).order_by("number").values_list("data", flat=True).last()["pause_at"]
    )


def asked_at(point: str, *, do: str) -> Move:
    """A move of which something is asked while a mover is at this point; as the mover left it."""
    move = populated().plan()
    if do == "pause":
        observe = at(point, lambda: pause_move(move_id=move.pk, at="", now=timezone.now()) and None)
    else:
        observe = at(point, lambda: cancel_move(move_id=move.pk, now=timezone.now()) and None)
    drive(move_id=move.pk, token=expire_lease(move), observe=observe)
    move.refresh_from_db()
    return move


@pytest.mark.parametrize(
    ("point", "state"),
    [
        ("prepare.before", MoveState.PREPARED),
        ("copy.before", MoveState.COPYING),
        ("copy.done", MoveState.CATCHING_UP),
        ("copy.after", MoveState.CATCHING_UP),
        ("catch_up.done", MoveState.VERIFIED),
        ("ready.done", MoveState.READY),
        ("ready.after", MoveState.READY),
    ],
)
def test_a_pause_holds_in_the_state_or_the_next(point: str, state: MoveState) -> None:
    move = asked_at(point, do="pause")
    assert (move.state, move.pause_at, move.leased_until) == (state, state, None)
    assert told_last(move) == state, "a mover's own news does not undo what was told of the pause"
    assert due_moves(now=timezone.now(), move_id=move.pk) == []
    assert owners(move.forum_id) == [move.source_id]
    resume_move(move_id=move.pk, now=timezone.now())
    assert drive_to_end(move).state == MoveState.CLEANED


@pytest.mark.parametrize("point", ["prepare.before", "copy.before", "copy.done", "catch_up.done", "ready.done"])
def test_a_move_is_cancelled_while_its_mover_works(point: str) -> None:
    move = asked_at(point, do="cancel")
    assert drive_to_end(move).state == MoveState.ABORTED
    assert owners(move.forum_id) == [move.source_id]
