"""A standby that has forgotten a fence, or more, takes a server's place: nothing is owned twice, nothing by nobody."""

import io
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.utils import timezone

from forum_backend.data.control.moves.models import Move
from forum_backend.data.shard.models import ForumCounters, ForumEvent
from forum_backend.domain.errors import NotFound, ShardPromoted
from forum_backend.domain.moves import FINAL, MoveState, OwnershipMode
from forum_backend.embedded import EmbeddedServers
from forum_backend.services.failover import reconcile_shard
from forum_backend.services.forum_write import OpenForum, forum_write
from forum_backend.services.move_control import rollback_move
from forum_backend.services.move_recovery import reopen
from forum_backend.services.ownership import Limits, OwnershipRefused, connected, enter_as_mover
from tests.integration.moves.conftest import wait_until_it_answers
from tests.integration.moves.driving import (
    Crash,
    Populated,
    at,
    bodies,
    content,
    crash_at,
    drive_to_end,
    expire_lease,
    modes,
    owners,
    placement,
    populated,
)
from tests.standby import Standby
from workers.rebalance.runner import drive

FALLEN = "shard_02"
AT_ONCE = ""  # before the move is planned


@pytest.fixture(autouse=True)
def _patience(settings: Any) -> None:
    """A backup may be taken under the fence, and takes what it takes."""
    settings.MOVE_BUDGET_MS = 60_000


def broken_off(
    place: Populated, servers: EmbeddedServers, *, standby_from: str, fails_at: str
) -> tuple[Move, Callable[[], None]]:
    """A move whose mover dies at a point; and what lets the standby of an earlier point take over."""
    standby: list[Standby] = []

    def make() -> None:
        standby.append(Standby(servers, FALLEN))

    def die() -> None:
        raise Crash

    if standby_from == AT_ONCE:
        make()
    move = place.plan(place.target)
    first, second = at(standby_from, make), at(fails_at, die)

    def observe(point: str) -> None:
        first(point)
        second(point)

    with pytest.raises(Crash):
        drive(move_id=move.pk, token=move.token, observe=observe, time_limit_s=60)

    def take_over() -> None:
        standby[0].take_over()
        wait_until_it_answers(FALLEN)

    return move, take_over


def enter(shard: str, forum: int, epoch: int) -> None:
    with transaction.atomic(using=shard), connections[shard].cursor() as cursor:
        cursor.execute("SELECT forum_enter(%s, %s)", [forum, epoch])


def refuses_all_writes(forum: int) -> None:
    for epoch in (1, 2):
        with pytest.raises(Exception, match="was promoted") as refused:
            enter(FALLEN, forum, epoch)
        assert isinstance(refused.value.__cause__, psycopg.Error)
        assert refused.value.__cause__.sqlstate == "FM004"


def reconcile() -> dict[str, Any]:
    out = io.StringIO()
    call_command("shards", "reconcile", FALLEN, "--json", stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def goes_on(place: Populated, *, owner: str, rows: int) -> None:
    """One owner, all rows, and the forum can be written and moved again."""
    assert owners(place.forum) == [owner]
    assert placement(place.forum)[0] == owner
    place.write("after the failover")
    assert bodies(place.forum)[-1] == "after the failover"
    assert content(place.forum)["post"].rows == rows + 1
    for move in Move.objects.filter(forum_id=place.forum).exclude(state__in=sorted(FINAL)):
        drive_to_end(move)
    elsewhere = next(shard for shard in ("shard_00", "shard_01") if shard != owner)
    again = place.plan(elsewhere)
    assert drive_to_end(again).state == MoveState.CLEANED
    assert owners(place.forum) == [elsewhere]
    assert content(place.forum)["post"].rows == rows + 1


@pytest.mark.parametrize("standby_from", [AT_ONCE, "arm.after", "fence.before", "fence.done"])
def test_a_source_that_forgot_that_the_forum_left(standby_from: str, servers: EmbeddedServers) -> None:
    """Two servers would own the forum; the one that was promoted writes nothing until it is told."""
    place = populated(FALLEN, "shard_01")
    move, take_over = broken_off(place, servers, standby_from=standby_from, fails_at="activate.done")
    take_over()
    assert modes(place.forum)[FALLEN] == ("fenced" if standby_from == "fence.done" else "owner")
    refuses_all_writes(place.forum)
    found = reconcile()
    assert found["was_needed"]
    assert found["moves_ended"] == [move.pk]
    assert modes(place.forum)[FALLEN] == "departed"
    goes_on(place, owner="shard_01", rows=8)
    assert not reconcile()["was_needed"]


@pytest.mark.parametrize("fails_at", ["copy.done", "ready.after", "fence.done"])
def test_a_source_that_fails_before_the_commit_keeps_its_forum(fails_at: str, servers: EmbeddedServers) -> None:
    place = populated(FALLEN, "shard_01")
    move, take_over = broken_off(place, servers, standby_from="arm.after", fails_at=fails_at)
    take_over()
    refuses_all_writes(place.forum)
    with pytest.raises(ShardPromoted):
        place.write("too early")
    # The mover of before, or one that takes over, can do nothing either.
    drive(move_id=move.pk, token=expire_lease(move))
    assert owners(place.forum) == [FALLEN]
    reconcile()
    assert modes(place.forum)["shard_01"] == "aborted"
    move.refresh_from_db()
    assert move.state == MoveState.ABORTED
    goes_on(place, owner=FALLEN, rows=8)


@pytest.mark.parametrize("standby_from", [AT_ONCE, "arm.after", "ready.after"])
def test_a_target_that_forgot_that_the_forum_came(standby_from: str, servers: EmbeddedServers) -> None:
    """Nobody would own the forum: the shard that sent it there has all rows still, and takes it back."""
    place = populated("shard_00", FALLEN)
    _, take_over = broken_off(place, servers, standby_from=standby_from, fails_at="depart.after")
    take_over()
    assert owners(place.forum) == []
    refuses_all_writes(place.forum)
    found = reconcile()
    assert found["changed"] == {str(place.forum): "shard_00"}
    assert placement(place.forum) == ("shard_00", 3), "above every epoch that was given out"
    goes_on(place, owner="shard_00", rows=8)


def test_a_target_that_remembers_keeps_the_forum(servers: EmbeddedServers) -> None:
    place = populated("shard_00", FALLEN)
    _, take_over = broken_off(place, servers, standby_from="activate.done", fails_at="depart.after")
    take_over()
    refuses_all_writes(place.forum)
    assert reconcile()["changed"] == {}
    goes_on(place, owner=FALLEN, rows=8)


@pytest.mark.parametrize("fails_at", ["fence.done", "activate.done", "depart.after"])
def test_a_standby_that_is_behind_by_two_moves_is_not_preferred(
    fails_at: str, servers: EmbeddedServers, settings: Any
) -> None:
    """The forum left, was written elsewhere, and was on its way back when the server died: what was written stays."""
    settings.MOVE_RETENTION_S = 3_600
    place = populated(FALLEN, "shard_01")
    standby = Standby(servers, FALLEN)
    move = place.plan()
    drive(move_id=move.pk, token=move.token, time_limit_s=60)
    place.write("accepted elsewhere")
    back = rollback_move(move_id=move.pk, requested_by=None, now=timezone.now())
    with pytest.raises(Crash):
        drive(move_id=back.pk, token=back.token, observe=crash_at(fails_at), time_limit_s=60)
    standby.take_over()
    wait_until_it_answers(FALLEN)
    assert modes(place.forum)[FALLEN] == "owner", "as it was before it left"
    found = reconcile()
    assert (found["changed"], found["moves_ended"]) == ({str(place.forum): "shard_01"}, [back.pk])
    assert placement(place.forum) == ("shard_01", 4), "above every epoch that was given out"
    assert bodies(place.forum)[-1] == "accepted elsewhere"
    goes_on(place, owner="shard_01", rows=9)


def test_a_standby_that_forgot_a_move_that_is_over_while_the_forum_goes_on(servers: EmbeddedServers) -> None:
    """The one to own it is fenced, for another move that has nothing to do with the promoted shard."""
    place = populated(FALLEN, "shard_01")
    standby = Standby(servers, FALLEN)
    assert drive_to_end(place.plan()).state == MoveState.CLEANED
    place.write("accepted elsewhere")
    onward = place.plan("shard_00")
    with pytest.raises(Crash):
        drive(move_id=onward.pk, token=onward.token, observe=crash_at("fence.done"), time_limit_s=60)
    standby.take_over()
    wait_until_it_answers(FALLEN)
    assert modes(place.forum) == {"shard_00": "incoming", "shard_01": "fenced", FALLEN: "owner"}
    assert reconcile()["moves_ended"] == [onward.pk]
    assert modes(place.forum) == {"shard_00": "aborted", "shard_01": "owner", FALLEN: "departed"}
    goes_on(place, owner="shard_01", rows=9)


@pytest.mark.parametrize(("is_begun", "owner"), [(False, "shard_01"), (True, FALLEN)])
def test_rows_that_are_being_deleted_are_not_preferred(is_begun: bool, owner: str, servers: EmbeddedServers) -> None:
    """The forum was back at the shard, which forgot; where it had been meanwhile its rows were about to be deleted."""
    place = populated(FALLEN, "shard_01")
    forum_write(place.forum, with_an_event)
    standby = Standby(servers, FALLEN)
    drive_to_end(place.plan())
    back = place.plan(FALLEN)
    with pytest.raises(Crash):
        drive(move_id=back.pk, token=back.token, observe=crash_at("keep.after"), time_limit_s=60)
    Move.objects.filter(pk=back.pk).update(reversible_until=None)
    back.refresh_from_db()
    if is_begun:
        with connected("shard_01", Limits()) as left, left.transaction():
            enter_as_mover(left, forum=place.forum, epoch=2, token=back.token, mode=OwnershipMode.DEPARTED)
            left.execute("DELETE FROM forum_event WHERE forum_id = %s", (place.forum,))  # as a purge begins
    standby.take_over()
    wait_until_it_answers(FALLEN)
    reconcile()
    goes_on(place, owner=owner, rows=8)


def with_an_event(forum: OpenForum) -> None:
    now = timezone.now()
    ForumEvent.objects.in_forum(forum).create(id=(1 << 23) | forum.forum_id, type="made.up", subject_id=1, at=now)
    ForumCounters.objects.in_forum(forum).update_or_create(forum_id=forum.forum_id, defaults={"last_number": 1})


@pytest.mark.parametrize("standby_from", [AT_ONCE, "ready.after"])
def test_a_source_that_goes_on_is_told_that_the_move_is_over(standby_from: str, servers: EmbeddedServers) -> None:
    """It logs for nobody any more, and the mover of before, who may be alive, cannot fence it."""
    place = populated("shard_00", FALLEN)
    move, take_over = broken_off(place, servers, standby_from=standby_from, fails_at="ready.after")
    place.write("in the log")
    assert logged("shard_00", place.forum) == (True, 1)
    take_over()
    assert reconcile()["moves_ended"] == [move.pk]
    assert logged("shard_00", place.forum) == (False, 0)
    assert modes(place.forum)["shard_00"] == "owner"
    with connected("shard_00", Limits()) as source, pytest.raises(OwnershipRefused):
        reopen(source, move)
    goes_on(place, owner="shard_00", rows=9)


def logged(shard: str, forum: int) -> tuple[bool, int]:
    """Whether a shard logs what changes in a forum, and how much is in its log."""
    with connections[shard].cursor() as cursor:
        cursor.execute(
            "SELECT capture, (SELECT count(*) FROM changed_row c WHERE c.forum_id = o.forum_id) FROM ownership o "
            "WHERE forum_id = %s",
            [forum],
        )
        row: tuple[bool, int] = cursor.fetchone()
        return row


def test_two_servers_that_were_replaced_are_reconciled_one_after_the_other(servers: EmbeddedServers) -> None:
    """Each is told by the other's reconciliation, although it takes no writes itself yet."""
    place = populated(FALLEN, "shard_01")
    first, second = Standby(servers, FALLEN), Standby(servers, "shard_01")
    move = place.plan()
    with pytest.raises(Crash):
        drive(move_id=move.pk, token=move.token, observe=crash_at("depart.after"), time_limit_s=60)
    for shard, standby in ((FALLEN, first), ("shard_01", second)):
        standby.take_over()
        wait_until_it_answers(shard)
    assert modes(place.forum) == {"shard_00": "absent", "shard_01": "absent", FALLEN: "owner"}
    for shard in (FALLEN, "shard_01"):
        reconcile_shard(name=shard, now=timezone.now())
    goes_on(place, owner=FALLEN, rows=8)


def test_rows_that_nobody_has_are_not_invented(servers: EmbeddedServers) -> None:
    """The standby was behind by more than the retention time: the source's rows are gone, and so is the forum."""
    place = populated("shard_00", FALLEN)
    _, take_over = broken_off(place, servers, standby_from=AT_ONCE, fails_at="reverse.done")
    take_over()
    found = reconcile_shard(name=FALLEN, now=timezone.now())
    assert found.lost == [place.forum]
    assert owners(place.forum) == []


def test_a_restart_is_no_failover(servers: EmbeddedServers) -> None:
    place = populated(FALLEN, "shard_01")
    servers.kill_server(FALLEN)
    servers.start_server(FALLEN)
    wait_until_it_answers(FALLEN)
    place.write("as before")
    assert not reconcile()["was_needed"]


def test_an_unknown_shard_is_refused() -> None:
    with pytest.raises(NotFound):
        reconcile_shard(name="shard_77", now=timezone.now())
