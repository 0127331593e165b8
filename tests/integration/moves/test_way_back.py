"""Moves taken back: the other way without a copy, with all that was written since, whatever crashes."""

from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import MoveRefused
from forum_backend.domain.moves import MoveState
from forum_backend.queries.moves import history_of
from forum_backend.services.move_control import rollback_move
from routers.directory import Location, directory
from tests.integration.moves.driving import (
    ROLLBACK_POINTS,
    Crash,
    Populated,
    bodies,
    change_everything,
    content,
    content_on,
    crash_at,
    drive_to_end,
    expire_lease,
    forget_the_departure,
    modes,
    owners,
    placement,
    populated,
)
from tests.model.path import is_path
from workers.rebalance.runner import drive


@pytest.fixture(autouse=True)
def kept(settings: Any) -> None:
    settings.MOVE_RETENTION_S = 600


def moved() -> tuple[Populated, Move]:
    """A forum on its new shard, and the move that can be taken back."""
    place = populated()
    move = place.plan()
    drive(move_id=move.pk, token=move.token)
    return place, move


def test_a_rollback_loses_nothing_and_copies_nothing() -> None:
    place, move = moved()
    move.refresh_from_db()
    assert move.state == MoveState.REVERSIBLE
    change_everything(place)
    written = content(place.forum)
    back = rollback_move(move_id=move.pk, requested_by=None, now=timezone.now())
    passed: list[str] = []
    drive(move_id=back.pk, token=back.token, observe=passed.append)
    back.refresh_from_db()
    assert (back.state, back.error) == (MoveState.REVERSIBLE, "")
    assert passed == list(ROLLBACK_POINTS)
    states = [shape["state"] for _, shape in history_of(move_id=back.pk)]
    assert is_path(list(dict.fromkeys(states)), is_rollback=True)
    assert owners(place.forum) == [place.source]
    assert content(place.forum) == written
    assert placement(place.forum) == (place.source, 3)
    move.refresh_from_db()
    assert move.state == MoveState.CLEANED
    place.write("and on it goes")
    forth = rollback_move(move_id=back.pk, requested_by=None, now=timezone.now())
    drive(move_id=forth.pk, token=forth.token)
    assert owners(place.forum) == [place.target]
    assert "and on it goes" in bodies(place.forum)


def test_while_it_is_reversible_the_source_is_kept_up_to_date() -> None:
    place, move = moved()
    change_everything(place)
    drive(move_id=move.pk, token=expire_lease(move))
    assert content_on(place.source, place.forum) == content(place.forum)
    with connections[place.target].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM changed_row WHERE forum_id = %s", [place.forum])
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize("point", ROLLBACK_POINTS[: ROLLBACK_POINTS.index("depart.after")])
def test_a_rollback_that_crashes_anywhere_loses_nothing(point: str) -> None:
    place, move = moved()
    back = rollback_move(move_id=move.pk, requested_by=None, now=timezone.now())
    with pytest.raises(Crash):
        drive(move_id=back.pk, token=back.token, observe=crash_at(point))
    place.write("after the crash")
    assert len(owners(place.forum)) == 1
    written = content(place.forum)
    for _ in range(4):
        drive(move_id=back.pk, token=expire_lease(back))
    back.refresh_from_db()
    assert back.state == MoveState.REVERSIBLE
    assert owners(place.forum) == [place.source]
    assert content(place.forum) == written


def test_a_later_move_ends_the_way_back() -> None:
    place, move = moved()
    onward = place.plan("shard_02")
    with pytest.raises(MoveRefused, match="on the move already"):
        rollback_move(move_id=move.pk, requested_by=None, now=timezone.now())
    drive(move_id=onward.pk, token=onward.token)
    with pytest.raises(MoveRefused, match="moved again since"):
        rollback_move(move_id=move.pk, requested_by=None, now=timezone.now())
    assert drive_to_end(move).state == MoveState.CLEANED
    assert not any(table.rows for table in content_on(place.source, place.forum).values())
    assert owners(place.forum) == ["shard_02"]
    place.write("logged for the onward move")
    back = rollback_move(move_id=onward.pk, requested_by=None, now=timezone.now())
    drive(move_id=back.pk, token=back.token)
    assert owners(place.forum) == [place.target]
    assert "logged for the onward move" in bodies(place.forum)


def test_a_departure_that_a_crash_took_away_is_made_up_for_by_a_writer() -> None:
    place, _ = moved()
    forget_the_departure(place)
    directory.forget(place.forum)
    directory.correct(place.forum, Location(place.source, 1))  # a process that has not heard of the move
    place.write("by way of the old shard")
    assert bodies(place.forum)[-1] == "by way of the old shard"
    assert modes(place.forum)[place.source] == "departed"


def test_a_departure_that_a_crash_took_away_does_not_end_the_way_back() -> None:
    place, move = moved()
    forget_the_departure(place)
    place.write("to be brought back")
    for _ in range(2):
        drive(move_id=move.pk, token=expire_lease(move))
    assert modes(place.forum)[place.source] == "departed"
    back = rollback_move(move_id=move.pk, requested_by=None, now=timezone.now())
    drive(move_id=back.pk, token=back.token)
    assert owners(place.forum) == [place.source]
    assert bodies(place.forum)[-1] == "to be brought back"
