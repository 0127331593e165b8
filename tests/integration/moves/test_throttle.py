"""Limits of copies that are kept and changed while they run, replicas that are waited for."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from forum_backend.data.control.moves.models import Move, MoveLimits
from forum_backend.domain.errors import Invalid
from forum_backend.domain.moves import MoveState
from forum_backend.embedded import EmbeddedServers
from forum_backend.queries.move_limits import limits_shape, read_limits
from forum_backend.services.forum_write import forum_write
from forum_backend.services.move_limits import change_limits
from forum_backend.services.moves import take_over
from forum_backend.services.ownership import Limits, connected
from tests.integration.moves.driving import Populated, content, drive_to_end, owners, populated
from tests.integration.moves.test_api import client
from tests.running import wait_for
from workers.rebalance import throttle as throttle_module
from workers.rebalance.mover import Mover
from workers.rebalance.prober import Prober, replicas_of
from workers.rebalance.runner import drive
from workers.rebalance.throttle import LEAST_ROWS, Throttle

BOTH = ("shard_00", "shard_01")
ROWS = 1_000
# So low that a copy waits for it on the slowest machine.
LIMIT = 400
TOLD = "SELECT count(*) FROM pg_stat_replication WHERE flush_lsn IS NOT NULL"


@pytest.fixture(autouse=True)
def _usual_limits() -> Iterator[None]:
    MoveLimits.objects.all().delete()
    yield
    MoveLimits.objects.all().delete()


def change(**limits: Any) -> dict[str, Any]:
    return change_limits(now=timezone.now(), **limits)


def filled(rows: int = ROWS) -> Populated:
    """A forum with so many posts."""
    place = populated()
    query = (
        "INSERT INTO post (forum_id, thread_id, guest_name, guest_username, body, html, created_at, is_deleted,"
        " is_spam, points) SELECT %s, %s, '', '', 'x', 'x', now(), false, false, 0 FROM generate_series(1, %s)"
    )

    def write(forum: Any) -> None:
        with connections[forum.shard].cursor() as cursor:
            cursor.execute(query, [place.forum, place.thread.pk, rows])

    forum_write(place.forum, write)
    return place


def test_limits_are_kept_in_one_row_and_nonsense_is_refused() -> None:
    usual = limits_shape()
    assert (usual["rows_per_second"], usual["changed_at"]) == (None, None)
    assert change(rows_per_second=500)["rows_per_second"] == 500
    assert change(slow_ms=9.0)["rows_per_second"] == 500, "the others stay"
    assert read_limits().slow_ms == 9.0
    assert change(rows_per_second=0)["rows_per_second"] is None
    for nonsense in ({"rows_per_second": -1}, {"slow_factor": 0.5}, {"slow_ms": None}, {"lag_s": 1e9}):
        with pytest.raises(Invalid):
            change(**nonsense)
    assert MoveLimits.objects.count() == 1


def test_a_copy_keeps_its_limit_and_says_so() -> None:
    place = filled()
    before = content(place.forum)
    change(rows_per_second=LIMIT)
    move = place.plan()
    began = time.monotonic()
    Move.objects.filter(pk=move.pk).update(pause_at="catching_up")
    drive(move_id=move.pk, token=move.token)
    took = time.monotonic() - began
    move.refresh_from_db()
    assert move.state == MoveState.CATCHING_UP
    assert took >= 0.9 * ROWS / LIMIT
    assert move.rows_per_s is not None
    assert move.rows_per_s <= LIMIT * 1.1
    said = [event.data["throttled_by"] for event in move.events.filter(type="move.progress")]
    assert f"the limit of {LIMIT:,} rows a second" in said
    Move.objects.filter(pk=move.pk).update(pause_at="")
    assert drive_to_end(move).state == MoveState.CLEANED
    assert content(place.forum) == before


def test_the_next_task_of_a_move_goes_on_with_what_the_last_one_had_come_to() -> None:
    move = take_over(move_id=filled().plan().pk, now=timezone.now())
    assert move is not None
    move.pressure = 1.0
    with Mover(move) as mover:
        assert mover.throttle.rows == LEAST_ROWS
        mover.throttle.rest(rows=LEAST_ROWS, after_s=0.001)
        assert move.pressure == mover.throttle.level is not None
        mover.report()
    move.pressure = None
    move.refresh_from_db()
    assert move.pressure is not None


def test_a_limit_that_is_lifted_is_seen_within_a_second_in_the_middle_of_a_wait() -> None:
    """A row a second: the wait after the first chunk alone would take minutes."""
    change(rows_per_second=1)
    place = filled()
    move = take_over(move_id=place.plan().pk, now=timezone.now())
    assert move is not None
    with Mover(move) as mover:
        mover.throttle.look_again()
        lifted_at = 0.0

        def lift(reason: str) -> bool:
            nonlocal lifted_at
            if not lifted_at:
                assert reason == "the limit of 1 rows a second"
                change(rows_per_second=0)
                lifted_at = time.monotonic()
            return mover._slowed(reason)

        mover.throttle._tell = lift
        mover.throttle.rest(rows=500, after_s=0.01)
        assert lifted_at
        assert time.monotonic() - lifted_at < 1.0


def test_time_that_is_up_ends_a_wait() -> None:
    change(rows_per_second=1)
    place = filled()
    move = place.plan()
    began = time.monotonic()
    drive(move_id=move.pk, token=move.token, time_limit_s=1.0)
    assert time.monotonic() - began < 4.0
    move.refresh_from_db()
    assert (move.state, move.attempts, move.leased_until) == (MoveState.COPYING, 0, None)
    change(rows_per_second=0)
    assert drive_to_end(move).state == MoveState.CLEANED
    assert owners(place.forum) == [place.target]


def test_a_copy_that_lasts_learns_and_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle_module, "PROBE_AFTER_S", 0.0)
    place = filled(20_000)
    before = content(place.forum)
    probers: list[Prober] = []
    start = Prober.start
    monkeypatch.setattr(Prober, "start", lambda self: (probers.append(self), start(self))[1])
    move = drive_to_end(place.plan())
    assert move.state == MoveState.CLEANED
    assert content(place.forum) == before
    assert probers
    assert not any(prober._thread.is_alive() for prober in probers)
    assert move.throttled_by == ""


def test_stretches_get_shorter_while_writes_are_slow_and_longer_when_they_are_not() -> None:
    throttle = Throttle(BOTH, tell=lambda _reason: True, limits=read_limits)
    rows = []
    for level in (0.0, 1.0, 0.0):
        throttle._pressure.level = level
        for _ in range(12):  # 50,000 rows a second
            throttle._aim(throttle.rows, throttle.rows / 50_000)
        rows.append(throttle.rows)
    assert rows == [5_000, 500, 5_000]


@contextmanager
def receiving(servers: EmbeddedServers, shard: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A real receiver of a shard's log, as a replica is one; it can be stopped with SIGSTOP."""
    server: Any = servers._server(shard)
    layout = server.around.layout
    environment = {"PGPASSWORD": server.around.secrets.get("postgres_password"), "PGAPPNAME": "slow_replica"}
    process = subprocess.Popen(
        [str(server._program.path / "pg_receivewal"), "-h", str(layout.sockets), "-p", str(server.port),
         "-U", "postgres", "-D", str(folder), "--no-loop", "--synchronous", "-s", "1"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(10)


def test_a_copy_waits_for_a_replica_that_is_behind_and_goes_on_with_it(
    servers: EmbeddedServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle_module, "PROBE_AFTER_S", 0.0)
    change(lag_s=0.5)  # 8 MB
    superuser = servers._server("shard_01")._connect()  # type: ignore[attr-defined]
    with superuser, receiving(servers, "shard_01", tmp_path) as replica, connected("shard_01", Limits()) as own:
        wait_for(lambda: count(own, "SELECT count(*) FROM pg_stat_replication") == 1, seconds=20, what="the replica")
        assert replicas_of("shard_01", own) == [], "a table owner sees that it is there, and nothing more"
        superuser.execute("GRANT pg_read_all_stats TO forum")
        try:
            wait_for(lambda: count(own, TOLD) == 1, seconds=20, what="the replica's position")
            replica.send_signal(signal.SIGSTOP)
            place = filled()
            for _ in range(12):
                own.execute("SELECT count(pg_logical_emit_message(false, 'filler', repeat('x', 1000000)))")
            # So slow that somebody has looked at the replica long before it is over: five seconds without the replica.
            change(rows_per_second=ROWS // 5)
            move = place.plan()
            for _ in range(3):
                drive(move_id=move.pk, token=move.token, time_limit_s=2.5)
                move.refresh_from_db()
            assert move.state == MoveState.COPYING
            assert "replica 'slow_replica' of shard_01 is" in move.throttled_by
            assert "at most 0.5 are allowed" in move.throttled_by
            replica.send_signal(signal.SIGCONT)
            wait_for(lambda: replicas_of("shard_01", own)[0].behind_s < 0.5, seconds=30, what="the replica to follow")
            change(rows_per_second=None)
            assert drive_to_end(move).state == MoveState.CLEANED
        finally:
            superuser.execute("REVOKE pg_read_all_stats FROM forum")


def count(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    return int(row[0]) if row else 0


def output_of(*words: str) -> str:
    out = StringIO()
    call_command("moves", "limits", *words, stdout=out)
    return out.getvalue()


def test_the_terminal_shows_and_changes_limits() -> None:
    assert "as many rows as others allow" in output_of()
    changed = json.loads(output_of("--rows-per-second", "7000", "--slow-ms", "3", "--lag-s", "9", "--json"))
    assert (changed["rows_per_second"], changed["slow_ms"], changed["lag_s"]) == (7_000, 3.0, 9.0)
    assert "at most 7,000 rows a second" in output_of()
    with pytest.raises(CommandError, match="lag_s"):
        output_of("--lag-s", "-1")
    assert "as many rows as others allow" in output_of("--rows-per-second", "0")


async def test_the_api_shows_and_changes_limits_for_staff() -> None:
    async with client(is_staff=True) as http:
        assert (await http.get("/move-limits")).json()["rows_per_second"] is None
        changed = await http.patch("/move-limits", json={"rows_per_second": 900})
        assert (changed.status_code, changed.json()["rows_per_second"]) == (200, 900)
        assert changed.json()["changed_at"].endswith("Z")
        assert (await http.patch("/move-limits", json={"lag_s": -1})).status_code == 422
        assert (await http.patch("/move-limits", json={"rows_per_second": None})).json()["rows_per_second"] is None
    async with client(is_staff=False) as http:
        assert (await http.get("/move-limits")).status_code == 403
