"""Whatever dies, wherever: the forum is in service again, on one shard, with every row; then the move goes on."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from forum_backend.domain.errors import Unavailable
from forum_backend.domain.moves import MoveState
from forum_backend.services.move_recovery import recover_forum, recover_move
from tests.integration.moves.driving import (
    POINTS,
    Crash,
    at,
    bodies,
    content,
    crash_at,
    drive_to_end,
    end_movers_connections,
    expire_lease,
    owners,
    populated,
)
from workers.rebalance.runner import drive

UNDER_FENCE = POINTS[POINTS.index("fence.gate_closed") : POINTS.index("depart.done")]
BACK_WITHIN_S = 3.0


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_anywhere_is_healed_by_the_next_writer_alone(point: str) -> None:
    place = populated()
    move = place.plan()
    with pytest.raises(Crash):
        drive(move_id=move.pk, token=move.token, observe=crash_at(point))
    began = time.monotonic()
    place.write("after the crash")
    assert time.monotonic() - began < BACK_WITHIN_S
    assert len(owners(place.forum)) == 1
    assert bodies(place.forum)[-1] == "after the crash"
    written = content(place.forum)
    assert written["post"].rows == 9
    recover_move(move.pk)
    recover_move(move.pk)
    assert content(place.forum) == written
    move = drive_to_end(move)
    assert move.state == MoveState.CLEANED
    assert owners(place.forum) == [place.target]
    assert content(place.forum) == written
    place.write("and later")


@pytest.mark.parametrize("shard", ["source", "target"])
@pytest.mark.parametrize("point", UNDER_FENCE)
def test_a_cut_connection_is_settled_by_the_mover_itself(point: str, shard: str) -> None:
    place = populated()
    move = place.plan()
    drive(
        move_id=move.pk,
        token=move.token,
        observe=at(point, lambda: end_movers_connections(getattr(place, shard)) and None),
    )
    assert len(owners(place.forum)) == 1
    place.write("after the cut")
    written = content(place.forum)
    assert written["post"].rows == 9
    assert drive_to_end(move).state == MoveState.CLEANED
    assert content(place.forum) == written


@pytest.mark.parametrize("point", ["fence.done", "activate.before", "activate.done", "depart.before"])
def test_recovery_by_many_at_once(point: str) -> None:
    place = populated()
    move = place.plan()
    with pytest.raises(Crash):
        drive(move_id=move.pk, token=move.token, observe=crash_at(point))
    together = threading.Barrier(6)

    def recover(number: int) -> None:
        try:
            together.wait(10)
            if number % 2:
                recover_forum(place.forum)
            else:
                recover_move(move.pk)
        except Unavailable:
            pass  # another one was at it for as long as this one may wait
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(recover, range(6)))
    recover_move(move.pk)
    assert len(owners(place.forum)) == 1
    place.write()
    assert content(place.forum)["post"].rows == 9
    assert drive_to_end(move).state == MoveState.CLEANED


@pytest.mark.parametrize("point", POINTS[: POINTS.index("reverse.after")])
def test_a_mover_that_was_overtaken_can_do_nothing_more(point: str) -> None:
    """At each point another mover takes over and goes as far as it can; then the first one wakes up and goes on."""
    place = populated()
    move = place.plan()

    def overtake() -> None:
        drive(move_id=move.pk, token=expire_lease(move))

    drive(move_id=move.pk, token=move.token, observe=at(point, overtake))
    assert len(owners(place.forum)) <= 1
    place.write("after the zombie")
    written = content(place.forum)
    assert written["post"].rows == 9
    assert drive_to_end(move).state == MoveState.CLEANED
    assert owners(place.forum) == [place.target]
    assert content(place.forum) == written


def test_a_mover_whose_gate_was_lost_is_overruled_by_a_writer() -> None:
    """The gate opens too early; a writer finds the fence, recovers, writes; the mover, still alive, must be refused."""
    place = populated()
    move = place.plan()
    written: list[str] = []

    def lose_gate() -> None:
        end_movers_connections(place.source)
        written.append(place.write("in between").body)

    drive(move_id=move.pk, token=move.token, observe=at("activate.before", lose_gate))
    move.refresh_from_db()
    assert written == ["in between"]
    assert bodies(place.forum)[-1] == "in between"
    assert move.state == MoveState.CATCHING_UP
    assert owners(place.forum) == [place.source]
    assert drive_to_end(move).state == MoveState.CLEANED
    assert bodies(place.forum)[-1] == "in between"
