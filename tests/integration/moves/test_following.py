"""`moves status --watch` and `start --wait`: which move is followed, and for how long."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.management import CommandError
from django.utils import timezone

from forum_backend.commands.management.commands import moves
from forum_backend.data.control.moves.models import Move, StatusEvent
from forum_backend.domain.moves import MoveState
from forum_backend.queries.moves import move_shape
from forum_backend.services.moves import tell_progress
from tests.integration.moves.driving import drive_to_end, populated
from tests.integration.web.fleet import end_moves, make_move


class Clock:
    """Time that passes only where somebody sleeps, a minute each time, and what happens meanwhile."""

    def __init__(self, happens: Callable[[int], None]) -> None:
        self._happens = happens
        self.minutes = 0

    def monotonic(self) -> float:
        return self.minutes * 60.0

    def sleep(self, _seconds: float) -> None:
        self.minutes += 1
        assert self.minutes < 1_000
        self._happens(self.minutes)


def test_a_move_that_is_over_is_not_the_one_to_watch() -> None:
    end_moves()
    Move.objects.filter(state=MoveState.DEPARTED).update(state=MoveState.CLEANED)
    with pytest.raises(CommandError, match="No move is under way"):
        moves.latest_under_way()
    copying = make_move(MoveState.COPYING)
    make_move(MoveState.REVERSIBLE, reversible_until=timezone.now() + timedelta(hours=1))
    assert moves.latest_under_way() == copying.pk


def test_only_silence_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    move = populated().plan()

    def tell_for_half_an_hour(minutes: int) -> None:
        if minutes <= 30:
            tell_progress(move, now=timezone.now())

    clock = Clock(tell_for_half_an_hour)
    monkeypatch.setattr(moves, "time", clock)
    with pytest.raises(CommandError, match=f"No news of move {move.pk} for 600 s: `moves explain {move.pk}`"):
        list(moves.states_of(move, silence_s=moves.SILENCE_S))
    assert clock.minutes == 40


def test_who_watches_is_never_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    move = populated().plan()

    def end_after_hours(minutes: int) -> None:
        if minutes == 600:
            drive_to_end(move)

    monkeypatch.setattr(moves, "time", Clock(end_after_hours))
    states = [shape["state"] for shape in moves.states_of(move, silence_s=None)]
    assert (states[0], states[-1]) == ("planned", "reversible")


def test_a_move_whose_history_is_forgotten_is_told_as_it_is() -> None:
    move = drive_to_end(populated().plan())
    StatusEvent.objects.filter(move=move).delete()
    assert list(moves.states_of(move, silence_s=None)) == [move_shape(Move.objects.get(pk=move.pk))]
