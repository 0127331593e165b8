"""The window without writes is short because all that can be done before the fence is done by then."""

import gc
import threading

import pytest
from django.db import connections, transaction

from forum_backend.services.ownership import NO_FORUM
from routers.limited import LimitedConnection
from tests.integration.moves.driving import Populated, at, bodies, expire_lease, populated
from workers.rebalance import fence
from workers.rebalance.flow import Flow
from workers.rebalance.mover import Mover
from workers.rebalance.runner import drive

WAIT_S = 10.0


class Window:
    """What was so when the gate had been closed, and just before the commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.planned: set[tuple[str, str]] = set()
        self.planned_under_it: set[tuple[str, str]] = set()
        self.collects = True
        raise_fence, commit = fence.raise_fence, Mover.commit

        def raising(mover: Mover) -> None:
            self.planned = statements(mover)
            raise_fence(mover)

        def committing(mover: Mover) -> None:
            self.planned_under_it, self.collects = statements(mover) - self.planned, gc.isenabled()
            commit(mover)

        monkeypatch.setattr(fence, "raise_fence", raising)
        monkeypatch.setattr(Mover, "commit", committing)


def statements(mover: Mover) -> set[tuple[str, str]]:
    """What the servers have parsed and planned for this mover."""
    sides = {"source": mover.source, "target": mover.target}
    return {(side, text) for side, connection in sides.items() for text in texts(connection)}


def texts(connection: LimitedConnection) -> list[str]:
    query = "SELECT name || statement FROM pg_prepared_statements"
    return [text for (text,) in connection.execute(query, prepare=False)]


def move_and_write_at_the_last_moment(place: Populated) -> None:
    move = place.plan()

    def write() -> None:
        place.write("at the last moment")

    drive(move_id=move.pk, token=expire_lease(move), observe=at("fence.gate_closed", write))
    move.refresh_from_db()
    assert move.window_ms is not None, move.error
    assert "at the last moment" in bodies(place.forum)


def test_nothing_is_planned_under_a_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(monkeypatch)
    move_and_write_at_the_last_moment(populated())
    assert any("changed_row" in text for _side, text in window.planned)
    assert window.planned_under_it == set()


def test_what_changes_hands_was_rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's session compiles a function when it is first called; nothing of the rehearsal is left."""
    place, rehearsed = populated(), []
    rehearse, close_gate = fence.rehearse_change, fence.close_gate

    def rehearsing(connection: LimitedConnection) -> None:
        rehearsed.append(connection)
        rehearse(connection)

    def closing(mover: Mover) -> None:
        assert rehearsed == [mover.source]
        close_gate(mover)

    monkeypatch.setattr(fence, "rehearse_change", rehearsing)
    monkeypatch.setattr(fence, "close_gate", closing)
    move_and_write_at_the_last_moment(place)
    assert len(rehearsed) == 1
    with connections[place.source].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ownership WHERE forum_id = %s", [NO_FORUM])
        assert cursor.fetchone() == (0,)


def test_nor_at_a_fence_that_had_to_wait_for_a_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is not had in time undoes the transaction, and psycopg forgets what it has prepared."""
    place, window = populated(), Window(monkeypatch)
    is_in, is_raising, is_waited_for = threading.Event(), threading.Event(), threading.Event()
    gate, raise_fence, bring_over = fence.close_gate, fence.raise_fence, fence.bring_over

    def stay() -> None:
        with transaction.atomic(using=place.source), connections[place.source].cursor() as cursor:
            cursor.execute("SELECT forum_enter(%s, 1)", [place.forum])
            is_in.set()
            is_waited_for.wait(WAIT_S)
        connections[place.source].close()

    writer = threading.Thread(target=stay)

    def closing(mover: Mover) -> None:
        gate(mover)
        writer.start()
        assert is_in.wait(WAIT_S)

    def raising(mover: Mover) -> None:
        is_raising.set()
        raise_fence(mover)

    def bringing_over(flow: Flow) -> int:
        if is_raising.is_set():
            is_waited_for.set()
        return bring_over(flow)

    monkeypatch.setattr(fence, "close_gate", closing)
    monkeypatch.setattr(fence, "raise_fence", raising)
    monkeypatch.setattr(fence, "bring_over", bringing_over)
    move_and_write_at_the_last_moment(place)
    writer.join(WAIT_S)
    assert is_waited_for.is_set()
    assert window.planned_under_it == set()


def test_no_garbage_is_looked_for_under_a_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(monkeypatch)
    move_and_write_at_the_last_moment(populated())
    assert not window.collects
    assert gc.isenabled()
