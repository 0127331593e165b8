"""A fence waits a moment for a server that vacuums, so that its window is as short as it can be; but not for ever."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connections

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.moves import MoveState
from routers.registry import conninfo_of
from tests.integration.moves.driving import drive_to_end, expire_lease, populated
from tests.processes import eventually
from workers.rebalance import calm
from workers.rebalance.calm import is_maintained
from workers.rebalance.mover import Mover
from workers.rebalance.runner import drive

WAIT_S = 20.0
# Some ten pages a second of a table that has hundreds: it does not end by itself.
SLOWLY = "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1"


@contextmanager
def vacuumed(shard: str) -> Iterator[psycopg.Connection]:
    """A vacuum that works on a shard until it is cancelled."""
    with psycopg.connect(conninfo_of(shard), autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE busy AS SELECT n FROM generate_series(1, 50000) n")
        connection.execute(SLOWLY)

        def vacuum() -> None:
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute("VACUUM busy")

        working = threading.Thread(target=vacuum)
        working.start()
        try:
            with psycopg.connect(conninfo_of(shard), autocommit=True) as other:
                eventually(lambda: is_maintained(other), limit_s=WAIT_S)
            yield connection
        finally:
            connection.cancel_safe()
            working.join(WAIT_S)


def driven(move: Move) -> threading.Thread:
    def run() -> None:
        try:
            drive(move_id=move.pk, token=token)
        finally:
            connections.close_all()

    token = expire_lease(move)
    mover = threading.Thread(target=run)
    mover.start()
    return mover


def slowed_by(move: Move) -> str:
    return str(Move.objects.values_list("throttled_by", flat=True).get(pk=move.pk))


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_fence_waits_while_a_shard_is_vacuumed(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calm, "PATIENCE_S", WAIT_S)
    place = populated()
    move = place.plan()
    with vacuumed(getattr(place, side)) as vacuum:
        mover = driven(move)
        eventually(lambda: "vacuum" in slowed_by(move), limit_s=WAIT_S)
        assert getattr(place, side) in slowed_by(move)
        place.write("while it waits")
        move.refresh_from_db()
        assert move.state == MoveState.READY
        vacuum.cancel_safe()
        mover.join(WAIT_S)
    assert drive_to_end(move).state == MoveState.CLEANED
    assert (move.throttled_by, move.attempts) == ("", 0)


def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calm, "PATIENCE_S", 0.3)
    place = populated()
    move = place.plan()
    with vacuumed(place.source):
        assert drive_to_end(move).state == MoveState.CLEANED


def test_a_mover_whose_time_is_up_leaves_the_wait_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    place = populated()
    move = place.plan()
    with vacuumed(place.source), Mover(move, deadline=0.0) as mover:
        assert not calm.await_calm(mover)
