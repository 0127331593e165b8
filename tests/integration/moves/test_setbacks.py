"""What a move meets on its way and gets over: a shard that is away, a log that grew, wishes, races, stalled movers."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction
from django.utils import timezone

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import MoveRefused
from forum_backend.domain.moves import MoveState
from forum_backend.services import moves as moves_module
from forum_backend.services.move_control import cancel_move, pause_move, resume_move, rollback_move
from forum_backend.services.move_recovery import drop_log
from forum_backend.services.ownership import Limits, connected
from routers.directory import Location, directory
from tests.integration.moves.driving import (
    Populated,
    at,
    bodies,
    content,
    content_on,
    drive_to_end,
    expire_lease,
    forget_the_departure,
    modes,
    owners,
    populated,
)
from workers.rebalance import catch_up, streams
from workers.rebalance.catch_up import lag_of
from workers.rebalance.flow import Flow
from workers.rebalance.leftovers import purge_leftovers
from workers.rebalance.runner import drive

FEWEST_TIMES_AWAY = moves_module.MAX_ATTEMPTS + 2


@pytest.fixture
def kept(settings: Any) -> None:
    settings.MOVE_RETENTION_S = 600


def run(shard: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with transaction.atomic(using=shard), connections[shard].cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else []


def drive_once(move: Move, observe: Callable[[str], None] = lambda _point: None) -> Move:
    drive(move_id=move.pk, token=expire_lease(move), observe=observe)
    move.refresh_from_db()
    return move


def until_reversible(move: Move) -> Move:
    assert drive_once(move).state == MoveState.REVERSIBLE, move.error
    return move


def test_a_shard_that_is_away_while_rows_are_copied_costs_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    move = populated().plan()
    with monkeypatch.context() as away:

        def no_answer(*_values: Any, **_named: Any) -> int:
            raise psycopg.OperationalError("the server is away")

        away.setattr(streams, "fill_chunk", no_answer)
        for _ in range(FEWEST_TIMES_AWAY):
            assert drive_once(move).state == MoveState.COPYING
            assert move.not_before > timezone.now(), "not at once again"
    assert "the server is away" in move.error
    assert drive_to_end(move).state == MoveState.CLEANED


def test_a_target_that_was_away_when_the_move_was_given_up_is_cleared_when_it_is_back() -> None:
    place = populated()
    move = drive_once(place.plan(), at("catch_up.before", lambda: pause_move_of(place)))
    assert content_on(place.target, place.forum)["post"].rows
    # As it is given up while the target does not answer: nobody told the target.
    Move.objects.filter(pk=move.pk).update(state=MoveState.ABORTED, has_leftovers=True, leased_until=None)
    assert modes(place.forum)[place.target] == "incoming"
    assert purge_leftovers(move_id=move.pk)
    assert modes(place.forum)[place.target] == "aborted"
    assert sum(table.rows for table in content_on(place.target, place.forum).values()) == 0
    assert not Move.objects.get(pk=move.pk).has_leftovers


def pause_move_of(place: Populated) -> None:
    pause_move(move_id=Move.objects.get(forum_id=place.forum).pk, at="", now=timezone.now())


@pytest.mark.parametrize("ask", [pause_move, cancel_move])
def test_what_is_asked_just_before_the_fence_is_done(ask: Callable[..., Move]) -> None:
    place = populated()
    move = place.plan()
    wishes = {"at": ""} if ask is pause_move else {}
    drive_once(move, at("fence.before", lambda: ask(move_id=move.pk, now=timezone.now(), **wishes) and None))
    assert owners(place.forum) == [place.source]
    if ask is pause_move:
        assert (move.state, move.pause_at) == (MoveState.READY, MoveState.READY)
        resume_move(move_id=move.pk, now=timezone.now())
        assert drive_to_end(move).state == MoveState.CLEANED
    else:
        assert drive_to_end(move).state == MoveState.ABORTED


def test_a_move_that_was_held_when_ready_gets_ready_again_before_its_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    place = populated()
    move = place.plan()
    pause_move(move_id=move.pk, at=MoveState.READY, now=timezone.now())
    assert drive_once(move).state == MoveState.READY
    monkeypatch.setattr(catch_up, "BATCH", 5)
    for number in range(20):
        place.write(f"while it was held {number}")
    resume_move(move_id=move.pk, now=timezone.now())
    behind: list[int] = []

    def look() -> None:
        with connected(place.source, Limits()) as source:
            flow = Flow(source, source, place.forum, 1, "incoming", 1)  # type: ignore[arg-type]
            behind.append(lag_of(flow))

    before = content(place.forum)
    drive_once(move, at("fence.recorded", look))
    assert behind == [0]
    assert drive_to_end(move).state == MoveState.CLEANED
    assert content(place.forum) == before


@pytest.mark.usefixtures("kept")
def test_a_pause_in_a_state_that_a_rollback_passes_over_is_refused() -> None:
    place = populated()
    move = until_reversible(place.plan())
    back = rollback_move(move_id=move.pk, requested_by=None, now=timezone.now())
    with pytest.raises(MoveRefused, match="does not come to copying"):
        pause_move(move_id=back.pk, at=MoveState.COPYING, now=timezone.now())
    assert drive_to_end(back).state == MoveState.CLEANED


def test_a_move_asked_for_while_another_arrives_is_refused(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """It has read where the forum lives, and then the forum goes."""
    settings.MOVE_RETENTION_S = 600
    place = populated()
    earlier = place.plan()
    look = moves_module.refuse_what_stops_at_once

    def arrive_meanwhile(**shards: Any) -> None:
        monkeypatch.setattr(moves_module, "refuse_what_stops_at_once", look)
        until_reversible(earlier)

    monkeypatch.setattr(moves_module, "refuse_what_stops_at_once", arrive_meanwhile)
    with pytest.raises(MoveRefused, match="has just been moved"):
        place.plan("shard_02")


@pytest.mark.usefixtures("kept")
def test_a_move_whose_source_serves_no_more_is_given_up() -> None:
    place = populated()
    until_reversible(place.plan())
    stale = place.plan("shard_02")
    Move.objects.filter(pk=stale.pk).update(source_id=place.source, epoch=stale.epoch - 1)
    stale.refresh_from_db()
    assert drive_to_end(stale).state == MoveState.ABORTED
    assert "does not serve it" in stale.error
    assert place.write("after it").pk
    assert owners(place.forum) == [place.target]


def test_a_departure_that_was_lost_before_the_retention_began_is_made_up_for(settings: Any) -> None:
    settings.MOVE_RETENTION_S = 600
    place = populated()
    move = place.plan()
    drive_once(move, at("keep.before", lambda: forget_the_departure(place)))
    assert modes(place.forum)[place.source] == "departed"
    until_reversible(move)
    back = rollback_move(move_id=move.pk, requested_by=None, now=timezone.now())
    assert drive_to_end(back).state == MoveState.CLEANED
    assert owners(place.forum) == [place.source]


@pytest.mark.usefixtures("kept")
def test_a_writer_at_a_lost_departure_finds_the_forum_though_it_is_on_its_way_back() -> None:
    place = populated()
    move = until_reversible(place.plan())
    rollback_move(move_id=move.pk, requested_by=None, now=timezone.now())
    forget_the_departure(place)
    directory.forget(place.forum)
    directory.correct(place.forum, Location(place.source, move.epoch))
    assert place.write("found it").pk
    assert bodies(place.forum)[-1] == "found it"


def test_a_stalled_settler_leaves_the_log_of_a_later_mover_alone() -> None:
    place = populated()
    move = place.plan()
    stalled = moves_module.take_over(move_id=move.pk, now=timezone.now())
    assert stalled is not None
    later = drive_once(move, at("copy.before", lambda: pause_move_of(place)))
    assert later.token > stalled.token
    place.write("in the log")
    with connected(place.source, Limits()) as source:
        drop_log(source, stalled)
    logged = run(place.source, "SELECT count(*) FROM changed_row WHERE forum_id = %s", place.forum)
    assert logged[0][0] > 0


@pytest.mark.usefixtures("kept")
def test_a_way_back_that_is_refused_by_the_serving_shard_is_not_taken_for_its_end() -> None:
    place = populated()
    move = until_reversible(place.plan())
    place.write("to be brought back")

    def arm_a_later_one() -> None:
        run(place.target, "SELECT forum_raise_token(%s, %s)", place.forum, move.token + 100)

    assert drive_once(move, at("reverse.before", arm_a_later_one)).state == MoveState.REVERSIBLE
    assert content_on(place.source, place.forum)["post"].rows


def test_a_difference_under_the_fence_is_looked_for_in_all_rows_and_not_met_again() -> None:
    place = populated()
    before = content(place.forum)
    move = place.plan()

    def miscount() -> None:
        """As a mover does that was overtaken while it wrote down what it had compared."""
        run(place.target, "UPDATE copy_progress SET rows = rows + 1 WHERE forum_id = %s", place.forum)

    drive_once(move, at("fence.before", miscount))
    assert (move.state, move.attempts) == (MoveState.CATCHING_UP, 1)
    assert owners(place.forum) == [place.source]
    assert drive_to_end(move).state == MoveState.CLEANED
    assert move.attempts == 1
    assert content(place.forum) == before
    assert move.verdict is not None
    assert move.verdict["rows"] == sum(table.rows for table in before.values())


def test_old_rows_are_not_shown_by_a_fence_that_a_lost_departure_left() -> None:
    place = populated()
    assert drive_to_end(place.plan()).state == MoveState.CLEANED
    forget_the_departure(place)
    onward = place.plan("shard_02")
    assert drive_to_end(onward).state == MoveState.CLEANED
    place.write("written on the third shard")
    directory.forget(place.forum)
    directory.correct(place.forum, Location(place.source, 1))
    assert bodies(place.forum)[-1] == "written on the third shard"
