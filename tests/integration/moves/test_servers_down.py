"""A shard's server dies in the middle of a move: the forum is in service again as soon as it can be."""

import time
from collections.abc import Callable

import pytest

from forum_backend.domain.errors import Unavailable
from forum_backend.domain.moves import MoveState
from forum_backend.embedded import EmbeddedServers
from forum_backend.services.move_recovery import recover_move
from forum_backend.services.moves import MAX_ATTEMPTS
from tests.integration.moves.driving import (
    Crash,
    Populated,
    at,
    content,
    drive_to_end,
    expire_lease,
    owners,
    populated,
)
from workers.rebalance.runner import drive

TIME_LIMIT_S = 20.0
# A point of every state, before anything of the next step has happened.
STATES = {
    "prepare.before": MoveState.PLANNED, "arm.before": MoveState.PREPARED, "begin.before": MoveState.ARMED,
    "copy.before": MoveState.COPYING, "catch_up.before": MoveState.CATCHING_UP, "ready.before": MoveState.VERIFIED,
    "fence.before": MoveState.READY, "fence.done": MoveState.FENCED, "depart.before": MoveState.FENCED,
    "keep.before": MoveState.DEPARTED, "reverse.before": MoveState.REVERSIBLE,
}  # fmt: skip


def write_soon(place: Populated) -> None:
    """Write as a client does that was told to try again."""
    deadline = time.monotonic() + TIME_LIMIT_S
    while True:
        try:
            place.write("written after all")
        except Unavailable:
            assert time.monotonic() < deadline, "the forum did not come back"
            recover_quietly(place)
            time.sleep(0.02)
        else:
            return


def recover_quietly(place: Populated) -> None:
    from forum_backend.services.move_recovery import recover_forum

    try:
        recover_forum(place.forum)
    except Unavailable:
        return


@pytest.mark.parametrize("point", ["prepare.before", "arm.before", "fence.done", "activate.copied"])
def test_the_target_dies_before_it_was_asked_to_commit(
    point: str, servers: EmbeddedServers, kill: Callable[[str], None]
) -> None:
    place = populated("shard_00", "shard_02")
    before = content(place.forum)
    move = place.plan()
    drive(move_id=move.pk, token=move.token, observe=at(point, lambda: kill("shard_02")))
    move.refresh_from_db()
    is_copied = point not in ("prepare.before", "arm.before")
    assert (move.state, move.attempts) == (MoveState.CATCHING_UP if is_copied else MoveState.PLANNED, 1)
    for _ in range(MAX_ATTEMPTS - 1):
        drive(move_id=move.pk, token=expire_lease(move))
    move.refresh_from_db()
    # What was copied is not given up because its shard is away for a while.
    assert (move.state, move.attempts) == (
        (MoveState.CATCHING_UP, 1) if is_copied else (MoveState.ABORTED, MAX_ATTEMPTS)
    )
    assert place.write("the source takes writes, the target being dead").pk
    servers.start_server("shard_02")
    assert owners(place.forum) == ["shard_00"]
    assert content(place.forum)["post"].rows == before["post"].rows + 1
    assert drive_to_end(move if is_copied else place.plan()).state == MoveState.CLEANED
    assert content(place.forum)["post"].rows == before["post"].rows + 1


def test_the_target_dies_just_after_its_commit(servers: EmbeddedServers, kill: Callable[[str], None]) -> None:
    """Nobody can know whether it committed, so nobody writes until it answers: then the move has happened."""
    place = populated("shard_00", "shard_02")
    before = content(place.forum)
    move = place.plan()

    def die() -> None:
        kill("shard_02")
        raise Crash

    with pytest.raises(Crash):
        drive(move_id=move.pk, token=move.token, observe=at("activate.done", die))
    with pytest.raises(Unavailable):
        recover_move(move.pk)
    with pytest.raises(Unavailable):
        place.write("refused")
    servers.start_server("shard_02")
    write_soon(place)
    assert drive_to_end(move).state == MoveState.CLEANED
    assert owners(place.forum) == ["shard_02"]
    assert content(place.forum)["post"].rows == before["post"].rows + 1


@pytest.mark.parametrize("point", ["fence.done", "activate.copied", "activate.done"])
def test_the_source_dies(point: str, servers: EmbeddedServers, kill: Callable[[str], None]) -> None:
    place = populated("shard_00", "shard_02")
    before = content(place.forum)
    move = place.plan()
    drive(move_id=move.pk, token=move.token, observe=at(point, lambda: kill("shard_00")))
    servers.start_server("shard_00")
    write_soon(place)
    assert len(owners(place.forum)) == 1
    assert drive_to_end(move).state == MoveState.CLEANED
    assert content(place.forum)["post"].rows == before["post"].rows + 1


@pytest.mark.parametrize("shard", ["source", "target"])
@pytest.mark.parametrize("point", STATES)
def test_a_server_dies_in_every_state(
    point: str, shard: str, servers: EmbeddedServers, kill: Callable[[str], None]
) -> None:
    """And its mover with it; the server comes back, somebody writes, the next mover goes on."""
    place = populated("shard_00", "shard_02")
    before = content(place.forum)
    move = place.plan()
    died_in: list[str] = []

    def die() -> None:
        move.refresh_from_db(fields=["state"])
        died_in.append(move.state)
        kill(getattr(place, shard))
        raise Crash

    with pytest.raises(Crash):
        drive(move_id=move.pk, token=move.token, observe=at(point, die))
    assert died_in == [STATES[point]]
    servers.start_server(getattr(place, shard))
    write_soon(place)
    assert len(owners(place.forum)) == 1
    written = content(place.forum)
    assert written["post"].rows == before["post"].rows + 1
    assert drive_to_end(move).state == MoveState.CLEANED
    assert owners(place.forum) == ["shard_02"]
    assert content(place.forum) == written
