"""Two chunks on their way at a time: the same rows, in the same order, and what fails takes what follows with it."""

import threading
from collections.abc import Callable

import psycopg
import pytest

from forum_backend.data.shard.models import Post
from forum_backend.domain.moves import MoveState
from forum_backend.services.forum_write import forum_write
from forum_backend.services.ownership import Limits, OwnershipRefused, connected, enter_to_copy, refusals
from tests.integration.moves.driving import (
    Crash,
    Populated,
    content,
    content_on,
    crash_at,
    drive_to_end,
    populated,
)
from workers.rebalance import copy, progress, streams
from workers.rebalance.flow import Flow
from workers.rebalance.progress import Progress
from workers.rebalance.runner import drive
from workers.rebalance.throttle import Throttle

type Commit = Callable[[Flow, Progress], None]


@pytest.fixture(autouse=True)
def _two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "CHUNK", 2)
    monkeypatch.setattr(Throttle, "is_unnoticed", property(lambda _self: True))


def answered_late(place: Populated) -> None:
    """A reply with a lower id than what it answers: it gets its parent with the last chunk."""
    later = place.write("the parent came later")
    forum_write(
        place.forum,
        lambda forum: (
            Post.objects.using(forum.shard).filter(forum_id=place.forum, body="deeper 0").update(parent_id=later.pk)
        ),
    )


def test_a_chunk_is_committed_after_the_one_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each commit waits until the next chunk has been sent whole; replies refer to rows of the chunk before."""
    place = populated()
    answered_late(place)
    before = content(place.forum)
    sent = threading.Semaphore(0)
    overlapping: list[bool] = []
    fill, commit = streams.fill_chunk, streams.commit_chunk

    def fill_and_tell(*values: object, **named: object) -> int:
        rows = fill(*values, **{**named, "before_the_last": lambda: (sent.release(), named["before_the_last"]())})  # type: ignore[arg-type, operator]
        sent.release()
        return rows

    def commit_late(flow: Flow, done: Progress) -> None:
        overlapping.append(sent.acquire(timeout=0.5))
        commit(flow, done)

    monkeypatch.setattr(streams, "fill_chunk", fill_and_tell)
    monkeypatch.setattr(streams, "commit_chunk", commit_late)
    moved = drive_to_end(place.plan())
    assert (moved.state, moved.error) == (MoveState.CLEANED, "")
    assert content(place.forum) == before
    assert "repaired" not in (moved.verdict or {})
    assert any(overlapping)


def test_a_commit_that_fails_takes_the_chunk_after_it_along(monkeypatch: pytest.MonkeyPatch) -> None:
    place = populated()
    before = content(place.forum)
    move = place.plan()
    commits: list[Progress] = []
    commit = streams.commit_chunk

    def fail_in_the_middle(flow: Flow, done: Progress) -> None:
        commits.append(done)
        if done.table == "post" and done.copied_to > first_post:
            flow.undo()
            raise psycopg.OperationalError("the second chunk of posts")
        commit(flow, done)

    first_post = Post.objects.filter(forum_id=place.forum).order_by("pk").values_list("pk", flat=True)[1]
    with monkeypatch.context() as failing:
        failing.setattr(streams, "commit_chunk", fail_in_the_middle)
        drive(move_id=move.pk, token=move.token)
    move.refresh_from_db()
    assert (move.state, "the second chunk" in move.error) == (MoveState.COPYING, True)
    with connected(place.target, Limits()) as target:
        assert progress.read(target, forum=place.forum)["post"].copied_to == first_post
    assert content_on(place.target, place.forum)["post"].rows == 2
    assert drive_to_end(move).state == MoveState.CLEANED
    assert content(place.forum) == before


def test_an_older_mover_adds_no_chunk() -> None:
    place = populated()
    move = place.plan()
    with pytest.raises(Crash):
        drive(move_id=move.pk, token=move.token, observe=crash_at("copy.before"))
    move.refresh_from_db()
    with connected(place.target, Limits()) as target:
        enter_to_copy(target, forum=place.forum, epoch=move.epoch + 1, token=move.token)
        for epoch, token in ((move.epoch + 1, move.token - 1), (move.epoch, move.token)):
            with pytest.raises(OwnershipRefused), refusals():
                enter_to_copy(target, forum=place.forum, epoch=epoch, token=token)
