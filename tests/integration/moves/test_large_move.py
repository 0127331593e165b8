"""Rows that change while they are copied, chunk by chunk; differences found and repaired; pauses, cancels."""

import time
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone

from forum_backend.data.control.moves.models import Move
from forum_backend.data.shard.models import Post
from forum_backend.domain.errors import MoveRefused
from forum_backend.domain.moves import MoveState
from forum_backend.services.forum_rows import FORUM_TABLES, ForumTable
from forum_backend.services.forum_write import forum_write
from forum_backend.services.move_control import cancel_move, pause_move, resume_move
from forum_backend.services.moves import take_over
from forum_backend.services.verification import verify_forum
from tests import factories
from tests.integration.moves.driving import (
    POINTS,
    Crash,
    at,
    bodies,
    change_everything,
    content,
    content_on,
    crash_at,
    drive_to_end,
    expire_lease,
    modes,
    owners,
    populated,
)
from workers.rebalance import arm, begin, copy, prepare, verify
from workers.rebalance.leftovers import purge_leftovers
from workers.rebalance.mover import Mover
from workers.rebalance.progress import Progress
from workers.rebalance.runner import drive
from workers.rebalance.streams import Streams

BEFORE_THE_FENCE = POINTS[POINTS.index("arm.after") : POINTS.index("fence.gate_closed") + 1]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "CHUNK", 3)
    monkeypatch.setattr(verify, "RANGE", 3)


@pytest.mark.parametrize("point", BEFORE_THE_FENCE)
def test_what_changes_on_the_way_arrives(point: str) -> None:
    place = populated()
    move = place.plan()
    seen: list[Any] = []

    def change() -> None:
        change_everything(place)
        seen.append(content(place.forum))

    drive(move_id=move.pk, token=move.token, observe=at(point, change))
    assert drive_to_end(move).state == MoveState.CLEANED
    assert owners(place.forum) == [place.target]
    assert [content(place.forum)] == seen
    assert {"inserted", "edited"} <= set(bodies(place.forum))
    assert "deeper 5" not in bodies(place.forum)


def test_a_copy_that_crashed_goes_on_where_it_was() -> None:
    place = populated()
    before = content(place.forum)
    move = place.plan()
    with pytest.raises(Crash):
        drive(move_id=move.pk, token=move.token, observe=crash_at("copy.before"))
    drive(move_id=move.pk, token=expire_lease(move), time_limit_s=0)
    token = expire_lease(move)
    drive(move_id=move.pk, token=token, time_limit_s=0.0)
    copied = content_on(place.target, place.forum)
    assert drive_to_end(move).state == MoveState.CLEANED
    assert content(place.forum) == before
    assert copied["forum_counters"].rows <= before["forum_counters"].rows


def test_a_reply_with_a_lower_id_than_its_parent_finds_it() -> None:
    place = populated()
    reply = Post.objects.filter(forum_id=place.forum, body="deeper 0").get()
    later = place.write("the parent came later")
    forum_write(
        place.forum,
        lambda forum: Post.objects.using(forum.shard).filter(pk=reply.pk).update(parent_id=later.pk),
    )
    before = content(place.forum)
    moved = drive_to_end(place.plan())
    assert moved.error == ""
    assert content(place.forum) == before
    assert "repaired" not in (moved.verdict or {})


def test_a_parent_that_is_written_while_rows_are_copied_is_left_to_the_log() -> None:
    place = populated()
    seen: list[Any] = []

    def answer_a_later_post() -> None:
        later = place.write("written later")
        forum_write(
            place.forum,
            lambda forum: (
                Post.objects.using(forum.shard).filter(forum_id=place.forum, body="deeper 0").update(parent_id=later.pk)
            ),
        )
        seen.append(content(place.forum))

    move = place.plan()
    drive(move_id=move.pk, token=move.token, observe=at("copy.before", answer_a_later_post))
    assert drive_to_end(move).error == ""
    assert [content(place.forum)] == seen


def test_a_copy_ends_however_fast_people_write(monkeypatch: pytest.MonkeyPatch) -> None:
    place = populated()
    chunks: list[int] = []

    def write_more_than_a_chunk(self: Streams, table: ForumTable, done: Progress, *, size: int, **how: bool) -> int:
        for number in range(size + 1):
            place.write(f"meanwhile {len(chunks)}/{number}")
        chunks.append(copy_chunk(self, table, done, size=size, **how))
        return chunks[-1]

    copy_chunk = Streams.copy_chunk
    monkeypatch.setattr(Streams, "copy_chunk", write_more_than_a_chunk)
    move = take_over(move_id=place.plan().pk, now=timezone.now())
    assert move is not None
    with Mover(move) as mover:
        for step in (prepare.STEP, arm.STEP):
            step.run(mover)
        place.write("logged, and not above the last key")
        begin.STEP.run(mover)
        rows = sum(table.rows for table in content(place.forum).values())
        mover._deadline = time.monotonic() + 10
        assert copy.STEP.run(mover), "it runs after those who write"
    assert len(chunks) <= rows / copy.CHUNK + len(FORUM_TABLES)
    copied = content_on(place.target, place.forum)["post"].rows
    Move.objects.filter(pk=move.pk).update(leased_until=None)
    monkeypatch.undo()
    assert drive_to_end(move).state == MoveState.CLEANED
    assert copied < content(place.forum)["post"].rows
    assert "logged, and not above the last key" in bodies(place.forum)


def test_a_difference_is_found_named_and_repaired() -> None:
    place = populated()
    move = place.plan()
    spoiled: list[int] = []

    def spoil() -> None:
        """As a broken disk or a stray hand would, past every guard: with the token that the mover has."""
        move.refresh_from_db()
        with transaction.atomic(using=place.target), connections[place.target].cursor() as cursor:
            cursor.execute(
                "SELECT forum_enter_as_mover(%s, %s, %s, 'incoming')", [place.forum, move.epoch + 1, move.token]
            )
            cursor.execute("UPDATE post SET body = 'spoiled' WHERE forum_id = %s AND body = 'deeper 3'", [place.forum])
            cursor.execute("SELECT id FROM post WHERE forum_id = %s AND body = 'spoiled'", [place.forum])
            spoiled.extend(row[0] for row in cursor.fetchall())

    before = content(place.forum)
    drive(move_id=move.pk, token=move.token, observe=at("catch_up.before", spoil))
    move = drive_to_end(move)
    assert len(spoiled) == 1
    assert move.state == MoveState.CLEANED
    assert move.verdict is not None
    assert move.verdict["repaired"] == [{"table": "post", "id": str(spoiled[0])}]
    assert content(place.forum) == before
    found = verify_forum(place.forum).shape()
    assert found["is_as_moved"] is True
    assert found["rows"] == move.verdict["rows"] == sum(table.rows for table in before.values())
    place.write("changes the content")
    assert verify_forum(place.forum).shape()["is_as_moved"] is False


def test_a_move_waits_where_it_is_told_to_and_goes_on() -> None:
    place = populated()
    move = place.plan()
    pause_move(move_id=move.pk, at="ready", now=timezone.now())
    for _ in range(3):
        drive(move_id=move.pk, token=expire_lease(move))
    move.refresh_from_db()
    assert move.state == MoveState.READY
    change_everything(place)
    written = content(place.forum)
    with pytest.raises(MoveRefused, match="does not come to copying any more"):
        pause_move(move_id=move.pk, at="copying", now=timezone.now())
    resume_move(move_id=move.pk, now=timezone.now())
    assert drive_to_end(move).state == MoveState.CLEANED
    assert content(place.forum) == written


@pytest.mark.parametrize("state", ["planned", "copying", "ready"])
def test_a_cancelled_move_leaves_nothing_behind(state: str) -> None:
    place = populated()
    before = content(place.forum)
    move = place.plan()
    pause_move(move_id=move.pk, at=state, now=timezone.now())
    drive(move_id=move.pk, token=expire_lease(move))
    cancel_move(move_id=move.pk, now=timezone.now())
    drive(move_id=move.pk, token=expire_lease(move))
    move = Move.objects.get(pk=move.pk)
    assert move.state == MoveState.ABORTED
    assert owners(place.forum) == [place.source]
    assert content(place.forum) == before
    assert purge_leftovers(move_id=move.pk)
    assert not any(table.rows for table in content_on(place.target, place.forum).values())
    assert modes(place.forum)[place.target] == "aborted"
    with pytest.raises(MoveRefused, match="cannot be cancelled any more"):
        cancel_move(move_id=move.pk, now=timezone.now())
    assert drive_to_end(place.plan()).state == MoveState.CLEANED


def test_rows_of_other_forums_stay_out_of_it() -> None:
    place, other = populated(), populated()
    before = content(other.forum)
    assert drive_to_end(place.plan()).state == MoveState.CLEANED
    assert content(other.forum) == before
    assert factories.make_post(other.thread).pk
