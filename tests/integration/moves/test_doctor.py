"""The doctor finds what is really wrong: each thing is made wrong for real and put right again; health is silent."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.utils import timezone

from forum_backend.data.control.directory.models import ForumLoad, ForumPlacement
from forum_backend.domain.errors import MoveRefused, NotFound
from forum_backend.domain.findings import Finding, Severity
from forum_backend.domain.moves import MoveState
from forum_backend.embedded import EmbeddedServers
from forum_backend.services.doctor import examine_fleet, examine_move
from forum_backend.services.fleet_changes import drain_shard, stop_draining
from routers.directory import Location, directory
from routers.registry import conninfo_of
from tests.integration.moves.conftest import wait_until_it_answers
from tests.integration.moves.driving import Populated, at, drive_to_end, owners, populated
from tests.integration.moves.test_api import client
from workers.rebalance.runner import drive

STOPS, SLOWS, NOTE = Severity.STOPS, Severity.SLOWS, Severity.NOTE


def of_move(place: Populated, **more: Any) -> list[Finding]:
    return examine_move(forum_id=place.forum, target=place.target, now=timezone.now(), **more)


def fleet(**more: Any) -> list[Finding]:
    return examine_fleet(now=timezone.now(), **more)


def found(findings: list[Finding], code: str, *, forum: int | None = None, shard: str | None = None) -> Finding:
    """The one finding with this code, of this forum and shard."""
    (one,) = [f for f in findings if f.code == code and f.forum == forum and shard in {None, f.shard}]
    return one


@contextmanager
def session(shard: str) -> Iterator[psycopg.Connection]:
    """A connection of somebody else's. Statements are put together here, so that there may be several in one text."""
    cursor = psycopg.ClientCursor
    with psycopg.connect(conninfo_of(shard), autocommit=True, cursor_factory=cursor) as connection:
        yield connection


@contextmanager
def spoiled(shard: str, *, by: str, undo: str) -> Iterator[None]:
    """A shard's tables changed by hand, and changed back."""
    with session(shard) as connection:
        connection.execute(by)
        try:
            yield
        finally:
            connection.execute(undo)


def test_in_health_nothing_is_found() -> None:
    place = populated()
    assert of_move(place) == []
    assert drive_to_end(place.plan()).state == MoveState.CLEANED
    assert [finding for finding in fleet() if finding.forum in {None, place.forum}] == []


@pytest.mark.parametrize(
    ("by", "undo", "code", "says", "severity"),
    [
        ("ALTER TABLE vote DISABLE TRIGGER forum_capture", "ALTER TABLE vote ENABLE TRIGGER forum_capture",
         "triggers_disabled", "vote.forum_capture", STOPS),
        ("ALTER TRIGGER a_forum_guard ON thread RENAME TO gone", "ALTER TRIGGER gone ON thread RENAME TO a_forum_guard",
         "triggers_missing", "thread.a_forum_guard", STOPS),
        ("ALTER TABLE thread ADD COLUMN mood text", "ALTER TABLE thread DROP COLUMN mood",
         "schema_differs", "thread.mood (text, not missing)", STOPS),
        ("ALTER TABLE thread ALTER COLUMN link TYPE varchar(9000)", "ALTER TABLE thread ALTER COLUMN link TYPE text",
         "schema_differs", "thread.link (character varying(9000) not null, not text not null)", STOPS),
        ("ALTER TABLE vote ADD CONSTRAINT fair CHECK (value <> 7)", "ALTER TABLE vote DROP CONSTRAINT fair",
         "schema_differs", "vote.fair", STOPS),
        ("ALTER INDEX post_best RENAME TO post_finest", "ALTER INDEX post_finest RENAME TO post_best",
         "schema_differs", "post.post_finest", SLOWS),
        ("CREATE OR REPLACE FUNCTION forum_gate_key(p_forum integer) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL "
         "SAFE AS $$ SELECT 7::bigint $$",
         "CREATE OR REPLACE FUNCTION forum_gate_key(p_forum integer) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL "
         "SAFE AS $$ SELECT (1178946633::bigint << 32) | p_forum $$",
         "schema_differs", "forum_gate_key(p_forum integer) (another body", STOPS),
        ("CREATE UNIQUE INDEX one_of_a_name ON thread (title, dsq_id) WHERE title = 'none has it'",
         "DROP INDEX one_of_a_name", "unique_without_forum", "one_of_a_name of thread", STOPS),
        ("UPDATE django_migrations SET name = 'elsewhere' WHERE app = 'forums' AND name = '0003_post_version'",
         "UPDATE django_migrations SET name = '0003_post_version' WHERE app = 'forums' AND name = 'elsewhere'",
         "migrations_missing", "0003_post_version", STOPS),
        ("INSERT INTO django_migrations (app, name, applied) VALUES ('forums', '9999_later', now())",
         "DELETE FROM django_migrations WHERE app = 'forums' AND name = '9999_later'",
         "migrations_unknown", "9999_later", STOPS),
        ("UPDATE shard_server SET timeline = '0000000F'", "UPDATE shard_server SET timeline = shard_timeline()",
         "not_reconciled", "promoted standby", STOPS),
    ],
)  # fmt: skip
def test_tables_that_will_not_do_stop_a_move_before_it_is_planned(
    by: str, undo: str, code: str, says: str, severity: Severity
) -> None:
    place = populated()
    with spoiled(place.target, by=by, undo=undo):
        for findings in (of_move(place), fleet()):
            one = found(findings, code, shard=place.target)
            assert says in one.found
            assert one.severity is severity
        if severity is STOPS:
            with pytest.raises(MoveRefused, match=f"^{place.target}: "):
                place.plan()
    assert of_move(place) == []


def test_what_stops_a_move_after_it_was_planned_is_its_error() -> None:
    place = populated()
    move = place.plan()
    triggers = "ALTER TABLE post {} TRIGGER forum_capture"
    with spoiled(place.source, by=triggers.format("DISABLE"), undo=triggers.format("ENABLE")):
        drive(move_id=move.pk, token=move.token)
        move.refresh_from_db()
        assert (move.state, move.attempts) == (MoveState.PLANNED, 1)
        assert "MoveRefused: shard_00: Switched off: post.forum_capture" in move.error
    assert drive_to_end(move).state == MoveState.CLEANED


def test_what_this_process_remembers_of_a_forum_stops_no_move() -> None:
    place = populated()
    move = place.plan()
    directory.correct(place.forum, Location(place.target, 2))  # as of a visit there that is over, and was not noticed
    assert directory.locate(place.forum).shard == place.target
    drive(move_id=move.pk, token=move.token)
    move.refresh_from_db()
    assert (move.attempts, move.error) == (0, "")
    assert owners(place.forum) == [place.target]


@contextmanager
def writer(place: Populated) -> Iterator[psycopg.Connection]:
    """Somebody who has entered the forum and does not end the transaction."""
    with session(place.source) as connection, connection.transaction(force_rollback=True):
        connection.execute("SELECT forum_enter(%s, 1)", (place.forum,))
        yield connection


def test_a_transaction_that_is_open_for_long_is_found() -> None:
    place = populated()
    with session(place.target) as connection, connection.transaction():
        connection.execute("SELECT 1")
        assert found(of_move(place, long_s=0), "long_transaction", shard=place.target).severity is SLOWS
        assert of_move(place) == [], "open for a moment"


def test_a_session_that_idles_on_the_forums_lock_stops_its_move_and_no_other() -> None:
    place, other = populated(), populated()
    with writer(place) as connection:
        one = found(of_move(place, long_s=0), "idle_with_lock", forum=place.forum)
        assert (one.severity, one.shard) == (STOPS, place.source)
        assert str(connection.info.backend_pid) in one.found
        assert str(connection.info.backend_pid) in one.advice
        assert found(fleet(long_s=0), "idle_with_lock", forum=place.forum).advice == one.advice
        assert not [f for f in of_move(other, long_s=0) if f.code == "idle_with_lock"]
    assert of_move(place) == []


@pytest.fixture
def preparing(servers: EmbeddedServers) -> Iterator[str]:
    """A shard on which transactions can be prepared: a setting that takes a restart."""
    shard = "shard_02"
    for setting in ("SET max_prepared_transactions = 2", "RESET max_prepared_transactions"):
        with servers._server(shard)._connect() as superuser:  # type: ignore[attr-defined]
            superuser.execute(f"ALTER SYSTEM {setting}")
        servers.stop_server(shard)
        servers.start_server(shard)
        wait_until_it_answers(shard)
        if setting.startswith("SET"):
            yield shard


def test_a_prepared_transaction_is_found(preparing: str) -> None:
    place = populated(source=preparing)
    with session(preparing) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT forum_enter(%s, 1)", (place.forum,))
        connection.execute("PREPARE TRANSACTION 'forgotten'")
        try:
            one = found(of_move(place), "prepared_transaction")
            assert (one.severity, "'forgotten'" in one.found) == (STOPS, True)
            assert found(of_move(populated(source=preparing)), "prepared_transaction").severity is SLOWS
        finally:
            connection.execute("ROLLBACK PREPARED 'forgotten'")
    assert of_move(place) == []


def test_settings_that_will_not_do_are_found() -> None:
    place = populated()
    alter = f"ALTER DATABASE {place.target} {{}}"
    for setting, value, code, severity in (
        ("default_transaction_isolation", "'repeatable read'", "isolation", STOPS),
        ("default_transaction_read_only", "on", "read_only", STOPS),
        ("TimeZone", "'Asia/Tokyo'", "time_zone", NOTE),
    ):
        undo = f"SET default_transaction_read_only = off; {alter.format(f'RESET {setting}')}"
        with spoiled(place.target, by=alter.format(f"SET {setting} = {value}"), undo=undo):
            assert found(of_move(place), code, shard=place.target).severity is severity
    assert of_move(place) == []


def test_a_forum_larger_than_the_targets_disk_stops() -> None:
    place = populated()
    load, _ = ForumLoad.objects.update_or_create(forum_id=place.forum, defaults={"bytes": 2**60})
    try:
        one = found(of_move(place), "no_room", shard=place.target)
        assert one.severity is STOPS
        assert f"{2**61 // 2**20:,} MB are wanted" in one.found
    finally:
        load.delete()


def test_a_target_that_is_drained_and_a_move_that_runs_stop() -> None:
    place = populated()
    drain_shard(name=place.target, now=timezone.now())
    try:
        assert found(of_move(place), "draining", shard=place.target).severity is STOPS
        assert found(fleet(), "draining", shard=place.target).severity is NOTE
    finally:
        stop_draining(name=place.target, now=timezone.now())
    move = place.plan()
    assert f"Move {move.pk} of it is planned" in found(of_move(place), "on_the_move", forum=place.forum).found
    assert drive_to_end(move).state == MoveState.CLEANED
    assert [finding.code for finding in of_move(place)] == ["lives_there"]


def test_a_shard_that_is_down_is_a_finding(kill: Callable[[str], None]) -> None:
    place = populated("shard_00", "shard_02")
    kill("shard_02")
    assert found(of_move(place), "shard_down").shard == "shard_02"
    assert found(fleet(), "shard_down").shard == "shard_02"
    with pytest.raises(MoveRefused, match="shard_02 does not answer"):
        place.plan()


def left_behind(place: Populated, *, by: str, code: str, shard: str) -> Finding:
    """What a statement leaves on a shard, as both examinations find it."""
    with session(shard) as connection:
        connection.execute(by, {"forum": place.forum})
    one = found(of_move(place), code, forum=place.forum, shard=shard)
    again = found(fleet(), code, forum=place.forum, shard=shard)
    assert replace(again, found=one.found) == one  # a second may have passed, which the text tells
    return one


def owned_as(mode: str, *, epoch: int, capture: bool = False) -> str:
    states = "ARRAY['absent', 'owner', 'fenced', 'incoming', 'aborted', 'departed']"
    return f"SELECT forum_set_ownership(%(forum)s, {states}, NULL, 1000, '{mode}', {epoch}, {capture})"


def test_what_earlier_attempts_left_is_found_and_the_next_move_clears_it() -> None:
    place = populated()
    row = (
        "SELECT forum_enter_as_mover(%(forum)s, 2, 1000, 'incoming');"
        " INSERT INTO forum (forum_id, slug, name, description, owner_id, created_at, is_deleted)"
        " VALUES (%(forum)s, 'left', 'left', '', 1, now(), false)"
    )
    rows = "; ".join((owned_as("incoming", epoch=2), row, owned_as("aborted", epoch=2)))
    assert left_behind(place, by=rows, code="rows_of_nobody", shard=place.target).severity is SLOWS
    log = "INSERT INTO changed_row (forum_id, table_name, row_id) VALUES (%(forum)s, 'post', 1)"
    assert left_behind(place, by=log, code="log_of_nobody", shard=place.target).severity is SLOWS
    notes = (
        "INSERT INTO copy_progress (forum_id, table_name, copied_to, is_copied, verified_to, is_verified, rows,"
        " content) VALUES (%(forum)s, 'post', 0, false, 0, false, 0, 0)"
    )
    assert left_behind(place, by=notes, code="notes_of_nobody", shard=place.target).severity is NOTE
    incoming = owned_as("incoming", epoch=2)
    assert left_behind(place, by=incoming, code="incoming_of_nobody", shard=place.target).severity is NOTE
    capture = owned_as("owner", epoch=1, capture=True)
    assert left_behind(place, by=capture, code="log_of_nobody", shard=place.source).severity is SLOWS
    ForumPlacement.objects.filter(pk=place.forum).update(epoch=1)
    move = place.plan()
    type(move).objects.filter(pk=move.pk).update(token=2000)
    assert drive_to_end(move).state == MoveState.CLEANED
    assert [finding for finding in fleet() if finding.forum == place.forum] == []


def test_a_fence_without_a_mover_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forum_backend.services.doctor.leftovers.SETTLING_S", 0.0)
    place = populated()
    fenced = owned_as("fenced", epoch=1)
    assert left_behind(place, by=fenced, code="fence_without_mover", shard=place.source).severity is STOPS
    with session(place.source) as connection:
        connection.execute(owned_as("owner", epoch=1), {"forum": place.forum})
    assert of_move(place) == []


def test_a_fence_with_its_mover_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forum_backend.services.doctor.leftovers.SETTLING_S", 0.0)
    place = populated()
    move = place.plan()
    seen: list[Finding] = []
    drive(move_id=move.pk, token=move.token, observe=at("fence.done", lambda: seen.extend(fleet())))
    assert [finding for finding in seen if finding.forum == place.forum] == []
    assert owners(place.forum) == [place.target]


def test_the_directory_and_the_shards_are_compared() -> None:
    place = populated()
    placement = ForumPlacement.objects.filter(pk=place.forum)
    placement.update(shard_id="shard_02")
    try:
        assert found(fleet(), "directory_disagrees", forum=place.forum).shard == place.source
    finally:
        placement.update(shard_id=place.source)
    with session(place.target) as connection:
        connection.execute(owned_as("owner", epoch=2), {"forum": place.forum})
    for findings in (of_move(place), fleet()):
        assert found(findings, "two_owners", forum=place.forum).severity is STOPS
    away = owned_as("departed", epoch=2)
    for shard in (place.source, place.target):
        with session(shard) as connection:
            connection.execute(away, {"forum": place.forum})
    assert found(fleet(), "no_owner", forum=place.forum).severity is STOPS
    with session(place.source) as connection:
        connection.execute(owned_as("owner", epoch=2), {"forum": place.forum})


def output_of(*words: str) -> str:
    out = StringIO()
    call_command("moves", "doctor", *words, stdout=out)
    return out.getvalue()


def test_the_terminal_says_what_is_wrong_and_what_to_do() -> None:
    place = populated()
    assert output_of(str(place.forum), place.target) == "Nothing found: moves can go.\n"
    with pytest.raises(CommandError, match="Name the shard as well"):
        output_of(str(place.forum))
    triggers = "ALTER TABLE post {} TRIGGER forum_capture"
    out = StringIO()
    with spoiled(place.target, by=triggers.format("DISABLE"), undo=triggers.format("ENABLE")):
        with pytest.raises(CommandError, match="1 of 1 findings would stop a move") as refusal:
            call_command("moves", "doctor", str(place.forum), place.target, "--json", stdout=out)
        assert refusal.value.returncode == 1
        with pytest.raises(CommandError):
            call_command("moves", "doctor", str(place.forum), place.target, stdout=out)
    as_json, _, as_text = out.getvalue().partition("\n")
    assert [one["code"] for one in json.loads(as_json)["findings"]] == ["triggers_disabled"]
    assert "STOPS  triggers_disabled  shard_01" in as_text
    assert "-> ALTER TABLE … ENABLE TRIGGER" in as_text


async def test_the_api_examines_for_staff() -> None:
    place = await sync_to_async(populated)()
    async with client(is_staff=True) as http:
        asked = {"forum": str(place.forum), "target": place.target}
        answer = await http.get("/doctor", params=asked)
        assert answer.json() == {"stops": False, "findings": []}
        there = await http.get("/doctor", params={**asked, "target": place.source})
        assert there.json()["stops"] is True
        assert [one["code"] for one in there.json()["findings"]] == ["lives_there"]
        assert (await http.get("/doctor")).status_code == 200
        assert (await http.get("/doctor?forum=1")).status_code == 422
        assert (await http.get("/doctor", params={**asked, "target": "shard_99"})).status_code == 404
    async with client(is_staff=False) as http:
        assert (await http.get("/doctor")).status_code == 403


def test_what_there_is_not_cannot_be_examined() -> None:
    with pytest.raises(NotFound):
        examine_move(forum_id=8_000_000, target="shard_01", now=timezone.now())
