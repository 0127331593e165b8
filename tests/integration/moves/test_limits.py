"""How many moves run at once: held when a mover takes one, told to those who wait, never in the way of a fence."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import F
from django.utils import timezone

from forum_backend.data.control.moves.models import Move, StatusEvent
from forum_backend.domain.moves import RUNNING, MoveState
from forum_backend.queries.moves import due_moves, move_shape
from forum_backend.services.move_control import cancel_move, pause_move, resume_move
from forum_backend.services.move_queue import tell_waiting
from forum_backend.services.moves import take_over
from tests.integration.moves.driving import drive_to_end, expire_lease, populated
from tests.running import wait_for
from workers import tasks
from workers.rebalance.runner import drive


@pytest.fixture(autouse=True)
def _alone(settings: Any) -> Iterator[None]:
    """Two on a shard and three in all; moves that other tests left half way are paused for the time of this one."""
    settings.MOVES_PER_SHARD, settings.MOVES_AT_ONCE = 2, 3
    others = list(Move.objects.filter(state__in=sorted(RUNNING)).values_list("pk", flat=True))
    Move.objects.filter(pk__in=others).update(pause_at=F("state"))
    yield
    mine = Move.objects.filter(state__in=sorted(RUNNING)).exclude(pk__in=others)
    mine.update(state=MoveState.ABORTED, finished_at=timezone.now() - timedelta(hours=1))
    Move.objects.filter(pk__in=others).update(pause_at="")


def planned(source: str = "shard_00", target: str = "shard_01") -> Move:
    return populated(source, target).plan()


def due() -> list[int]:
    return [pk for pk, _ in due_moves(now=timezone.now())]


def limited(move: Move) -> Move | None:
    """As a task takes a move."""
    move.refresh_from_db()
    return take_over(move_id=move.pk, now=timezone.now(), expected_token=move.token, is_limited=True)


def test_no_more_are_due_than_may_run_the_oldest_first() -> None:
    moves = [planned(), planned(), planned(), planned("shard_02", "shard_01"), planned("shard_02", "shard_00")]
    assert due() == [move.pk for move in moves[:2]], "both ends count: shard_00 and shard_01 are full"


def test_in_all_no_more_run_either(settings: Any) -> None:
    settings.MOVES_PER_SHARD = 10
    assert due() == []
    moves = [planned(), planned("shard_01", "shard_02"), planned("shard_02", "shard_00"), planned()]
    assert due() == [move.pk for move in moves[:3]]


def test_a_move_that_waits_is_refused_and_told_why_until_its_turn_comes() -> None:
    first, second, third = (planned() for _ in range(3))
    assert limited(third) is None
    assert tell_waiting(now=timezone.now()) == 1
    assert tell_waiting(now=timezone.now()) == 0, "it was told already"
    third.refresh_from_db()
    said = "a place on shard_00: 2 moves run there, at most 2 may"
    assert move_shape(third)["waits_for"] == said
    assert StatusEvent.objects.filter(move=third).latest("number").data["waits_for"] == said
    drive_to_end(first)
    assert due() == [second.pk, third.pk]
    taken = limited(third)
    assert taken is not None
    assert taken.waits_for == ""
    assert limited(second) is not None
    fourth = planned()
    assert limited(fourth) is None


def test_a_task_does_not_drive_a_move_that_has_to_wait() -> None:
    moves = [planned() for _ in range(3)]
    tasks.advance_move(moves[2].pk, moves[2].token)
    moves[2].refresh_from_db()
    assert (moves[2].state, moves[2].leased_until) == (MoveState.PLANNED, None)


def test_who_has_begun_goes_on_before_who_has_not() -> None:
    first, second, third = (planned() for _ in range(3))
    pause_move(move_id=third.pk, at="ready", now=timezone.now())
    drive(move_id=third.pk, token=third.token)
    third.refresh_from_db()
    assert third.state == MoveState.READY
    assert due() == [first.pk, second.pk], "one that is paused takes no place"
    resume_move(move_id=third.pk, now=timezone.now())
    assert due() == [first.pk, third.pk]
    assert limited(second) is None


def test_one_that_rests_after_a_failure_takes_no_place_and_one_on_lease_does() -> None:
    first, second, third = (planned() for _ in range(3))
    Move.objects.filter(pk=first.pk).update(not_before=timezone.now() + timedelta(minutes=1))
    assert due() == [second.pk, third.pk]
    assert limited(third) is not None
    Move.objects.filter(pk=first.pk).update(not_before=timezone.now())
    assert due() == [first.pk]
    assert limited(second) is None


@pytest.mark.parametrize("state", [MoveState.FENCED, MoveState.ACTIVATED, MoveState.DEPARTED, MoveState.REVERSIBLE])
def test_a_fence_and_what_comes_after_it_takes_no_place_and_waits_for_none(state: MoveState) -> None:
    running, other = planned(), planned()
    assert limited(running) is not None
    assert limited(other) is not None
    urgent = planned()
    assert limited(urgent) is None
    Move.objects.filter(pk=urgent.pk).update(state=state)
    assert due() == [urgent.pk]
    assert limited(urgent) is not None
    Move.objects.filter(pk__in=[running.pk, other.pk]).update(leased_until=None)
    assert set(due()) == {running.pk, other.pk}, "it counts against nobody"


def test_a_cancelled_move_is_given_up_without_waiting() -> None:
    moves = [planned() for _ in range(3)]
    cancel_move(move_id=moves[2].pk, now=timezone.now())
    assert moves[2].pk in due()
    tasks.advance_move(moves[2].pk, expire_lease(moves[2]))
    moves[2].refresh_from_db()
    assert moves[2].state == MoveState.ABORTED


def test_a_place_is_given_to_one_at_a_time(settings: Any) -> None:
    """An older move that rested comes back while a younger one takes its place, and has not committed yet."""
    settings.MOVES_PER_SHARD = 1
    older, younger = planned(), planned()
    Move.objects.filter(pk=older.pk).update(not_before=timezone.now() + timedelta(minutes=1))

    def come_back() -> bool:
        try:
            Move.objects.filter(pk=older.pk).update(not_before=timezone.now())
            return limited(older) is not None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(using="default"):
            assert limited(younger) is not None
            other = pool.submit(come_back)
            wait_for(lambda: other.done() or waits_for_a_lock(), seconds=10, what="the other mover's question")
        assert other.result(10) is False
    assert limited(older) is None


def waits_for_a_lock() -> bool:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(cursor.fetchone()[0])
