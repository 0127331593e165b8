"""A whole move: everything arrives, unchanged, under ids that go on; nothing stays behind."""

import pytest
from django.db import connections
from django.utils import timezone

from forum_backend.data.control.moves.models import Move, StatusEvent
from forum_backend.data.shard.models import ForumCounters, ForumEvent, IdempotencyKey, OutboxEvent
from forum_backend.domain.ids import n_of
from forum_backend.domain.moves import MoveState
from forum_backend.queries.forum_read import ownership_on
from forum_backend.queries.moves import due_moves, history_of
from forum_backend.services.forum_write import OpenForum, forum_write
from forum_backend.services.moves import take_over
from tests.integration.moves.driving import (
    POINTS,
    Crash,
    bodies,
    content,
    content_on,
    crash_at,
    drive_to_end,
    expire_lease,
    modes,
    owners,
    placement,
    populated,
)
from workers.rebalance.runner import drive


def sequence_to(shard: str, value: int) -> None:
    with connections[shard].cursor() as cursor:
        cursor.execute("SELECT setval('routed_id_seq', greatest(last_value, %s)) FROM routed_id_seq", [value])


def last_value(shard: str) -> int:
    with connections[shard].cursor() as cursor:
        cursor.execute("SELECT last_value FROM routed_id_seq")
        return int(cursor.fetchone()[0])


def with_history(forum: OpenForum) -> None:
    """A row in every table that the relay and the API fill."""
    now = timezone.now()
    OutboxEvent.objects.in_forum(forum).create(type="post.created", subject_id=1, data={"ä": [1]}, at=now)
    ForumEvent.objects.in_forum(forum).create(
        id=(1 << 23) | forum.forum_id, type="forum.created", subject_id=forum.forum_id, at=now, position=12345
    )
    ForumCounters.objects.in_forum(forum).update_or_create(
        forum_id=forum.forum_id, defaults={"last_number": 1, "posts_count": 8}
    )
    IdempotencyKey.objects.in_forum(forum).create(
        user_id=1, key="k", request_digest=b"\x00\xff" * 16, status=201, response={"id": "1"}, created_at=now
    )


def test_a_move_takes_everything_along_and_leaves_nothing() -> None:
    place = populated("shard_00", "shard_01")
    forum_write(place.forum, with_history)
    before, seen = content(place.forum), bodies(place.forum)
    assert all(table.rows for table in before.values()), "the test must have a row in every table"
    passed: list[str] = []
    move = place.plan()
    drive(move_id=move.pk, token=move.token, observe=passed.append)

    move.refresh_from_db()
    assert move.state == MoveState.CLEANED
    assert move.error == ""
    assert move.finished_at is not None
    assert move.rows_done == move.rows_total == sum(table.rows for table in before.values())
    assert move.window_ms is not None
    assert 0 < move.window_ms < 1_500
    assert passed == list(POINTS)
    assert content(place.forum) == before
    assert bodies(place.forum) == seen
    assert modes(place.forum) == {"shard_00": "departed", "shard_01": "owner", "shard_02": "absent"}
    assert placement(place.forum) == ("shard_01", 2)
    assert not any(table.rows for table in content_on("shard_00", place.forum).values())
    departed = ownership_on("shard_00", place.forum)
    assert (departed.went_to, departed.went_epoch) == ("shard_01", 2)
    with connections["shard_01"].cursor() as cursor:
        cursor.execute("SELECT is_announced FROM ownership WHERE forum_id = %s", [place.forum])
        assert cursor.fetchone() == (False,), "the relay has to announce it"
        cursor.execute("SELECT position FROM forum_event WHERE forum_id = %s", [place.forum])
        assert cursor.fetchone() == (None,), "a position means something on its shard only"


def test_every_state_is_an_event_with_a_number_of_its_own() -> None:
    place = populated()
    move = drive_to_end(place.plan())
    states = [shape["state"] for _, shape in history_of(move_id=move.pk)]
    passed = list(dict.fromkeys(states))
    assert passed == [state for state in MoveState if state != MoveState.ABORTED]
    numbers = sorted(StatusEvent.objects.values_list("number", flat=True))
    assert numbers == list(range(1, len(numbers) + 1)), "gap-free"


def test_ids_after_a_move_come_after_all_before_it() -> None:
    place = populated("shard_00", "shard_02")
    sequence_to("shard_00", last_value("shard_02") + 250)
    newest = place.write().pk
    drive_to_end(place.plan())
    later = place.write()
    assert later.pk > newest
    assert n_of(later.pk) > n_of(newest)


def test_a_far_behind_sequence_leaps_and_is_never_lowered() -> None:
    place = populated("shard_00", "shard_02")
    sequence_to("shard_00", last_value("shard_02") + 5_000_000)
    highest = last_value("shard_00")
    newest = place.write().pk
    drive_to_end(place.plan())
    assert last_value("shard_02") > highest
    assert place.write().pk > newest
    ahead = last_value("shard_02")
    sequence_to("shard_02", ahead + 1_000)
    drive_to_end(populated("shard_00", "shard_02").plan())
    assert last_value("shard_02") >= ahead + 1_000


def test_there_and_back_before_and_after_it_was_cleaned() -> None:
    place = populated("shard_00", "shard_01")
    before = content(place.forum)
    first = place.plan()
    with pytest.raises(Crash):
        drive(move_id=first.pk, token=first.token, observe=crash_at("keep.before"))
    first.refresh_from_db()
    assert first.state == MoveState.DEPARTED
    assert content_on("shard_00", place.forum)["post"].rows, "not cleaned yet"
    back = drive_to_end(place.plan("shard_00"))
    assert (back.state, back.error) == (MoveState.CLEANED, "")
    assert owners(place.forum) == ["shard_00"]
    assert content(place.forum) == before
    assert drive_to_end(first).state == MoveState.CLEANED
    assert content(place.forum) == before, "cleaning up after the first move took nothing from the second"
    for target in ("shard_02", "shard_00", "shard_01"):
        assert drive_to_end(place.plan(target)).error == ""
        assert content(place.forum) == before
    assert placement(place.forum) == ("shard_01", 6)


def test_a_task_delivered_twice_is_refused() -> None:
    place = populated()
    move = place.plan()
    assert (move.pk, move.token) in due_moves(now=timezone.now(), limit=1_000)
    taken = take_over(move_id=move.pk, now=timezone.now(), expected_token=move.token)
    assert taken is not None
    assert taken.token > move.token
    assert drive(move_id=move.pk, token=move.token) is None, "its token is old"
    assert drive(move_id=move.pk, token=taken.token) is None, "its lease has not run out"
    assert move.pk not in dict(due_moves(now=timezone.now(), limit=1_000))
    assert drive(move_id=move.pk, token=expire_lease(move)) is not None
    assert Move.objects.get(pk=move.pk).state == MoveState.CLEANED
