"""Plans over the real fleet: made from loads, kept, applied once, refused when the fleet has changed."""

import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from forum_backend.data.control.directory.models import ForumLoad, ForumPlacement, Plan, Shard
from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import NotFound, PlanRefused, ShardRefused
from forum_backend.domain.fleet import Rules
from forum_backend.queries import fleet
from forum_backend.services.fleet_changes import drain_shard, remove_shard, stop_draining
from forum_backend.services.moves import request_move
from forum_backend.services.plans import GOOD_FOR, KEPT, apply_plan, make_plan, pin
from tests.factories import make_forum
from tests.integration.moves.driving import drive_to_end, owners, populated
from tests.integration.moves.test_api import client

ENORMOUS = 10**15  # beside these, what other tests left in the fleet weighs nothing
ONE = Rules(moves_in_all=1)


@pytest.fixture(autouse=True)
def _idle_fleet() -> Iterator[None]:
    """No move of another test counts or runs, and the loads made up here are gone afterwards."""
    Move.objects.filter(state="planned").update(state="aborted", finished_at=timezone.now() - timedelta(hours=1))
    yield
    Move.objects.filter(state="planned").update(state="aborted", finished_at=timezone.now() - timedelta(hours=1))
    ForumLoad.objects.filter(rows_count__gte=ENORMOUS).delete()


@pytest.fixture
def heavy() -> list[int]:
    """Three forums that weigh all there is, on one shard."""
    forums = [populated("shard_00").forum for _ in range(3)]
    for number, forum in enumerate(forums, start=1):
        weights = dict.fromkeys(("rows_count", "bytes", "writes_s", "reads_s"), ENORMOUS * number)
        ForumLoad.objects.update_or_create(forum_id=forum, defaults=weights)
    return forums


def made(rules: Rules = ONE) -> Plan:
    return make_plan(requested_by=None, now=timezone.now(), rules=rules)


def planned_forums(plan: Plan) -> list[int]:
    return [int(move["forum"]) for move in plan.moves]


def applied(plan: Plan, *, after: timedelta = timedelta(0)) -> Plan:
    return apply_plan(digest=plan.hash, requested_by=None, now=plan.created_at + after)


def test_a_plan_moves_nothing_until_it_is_applied(heavy: list[int]) -> None:
    plan = made()
    assert planned_forums(plan) == heavy[2:]
    (planned,) = plan.moves
    assert (planned["source"], planned["slug"]) == ("shard_00", ForumPlacement.objects.get(pk=heavy[2]).slug)
    assert "shard_00 has 3.00 times the average of" in planned["reason"]
    assert plan.content["after"]["spread"] < plan.content["before"]["spread"]
    assert not Move.objects.filter(forum_id__in=heavy).exists()
    done = applied(plan)
    move = Move.objects.get(pk=done.moves[0]["move"])
    assert (move.forum_id, move.source_id, move.target_id) == (heavy[2], "shard_00", planned["target"])
    assert move.reason == planned["reason"]
    ForumLoad.objects.filter(forum_id__in=heavy).delete()  # no disk has room for what they were said to weigh
    drive_to_end(move)
    assert owners(heavy[2]) == [planned["target"]]


def test_the_whole_plan_evens_the_fleet(heavy: list[int]) -> None:
    plan = made(Rules(moves_in_all=10))
    assert set(planned_forums(plan)) <= set(heavy)
    assert {move["target"] for move in plan.moves} == {"shard_01", "shard_02"}
    spreads = [plan.content["before"]["spread"], *(move["spread_after"] for move in plan.moves)]
    assert spreads == sorted(spreads, reverse=True)
    assert len(set(spreads)) == len(spreads)


def test_a_plan_is_applied_once(heavy: list[int]) -> None:
    plan = made()
    applied(plan)
    with pytest.raises(PlanRefused, match="applied already"):
        applied(plan)
    assert Move.objects.filter(forum_id__in=heavy).count() == 1


def test_an_old_plan_is_refused(heavy: list[int]) -> None:
    plan = made()
    with pytest.raises(PlanRefused, match="older than 10 minutes"):
        applied(plan, after=GOOD_FOR + timedelta(seconds=1))
    assert applied(plan, after=GOOD_FOR).applied_at is not None


def test_a_plan_is_refused_after_the_fleet_has_changed(heavy: list[int]) -> None:
    plan = made()
    make_forum("shard_01")  # a forum that is new changes nothing that the plan was made for
    pin(forum_id=heavy[0], is_pinned=True)
    with pytest.raises(PlanRefused, match="have changed"):
        applied(plan)
    pin(forum_id=heavy[0], is_pinned=False)
    drain_shard(name="shard_01", now=timezone.now())
    try:
        with pytest.raises(PlanRefused, match="have changed"):
            applied(plan)
    finally:
        stop_draining(name="shard_01", now=timezone.now())
    drive_to_end(populated("shard_02", "shard_01").plan())
    assert applied(plan).applied_at is not None, "a forum that came after the plan has moved: that changes nothing"


def test_another_move_of_an_old_forum_makes_a_plan_stale(heavy: list[int]) -> None:
    place = populated("shard_02", "shard_01")
    plan = made()
    drive_to_end(place.plan())
    with pytest.raises(PlanRefused, match="have changed"):
        applied(plan)


def test_a_plan_is_refused_after_another_one_was_applied_or_a_move_was_asked_for(heavy: list[int]) -> None:
    """Nothing has arrived yet, but what is on its way is not in the loads that the second plan is made from."""
    first, second = made(), made(Rules(moves_in_all=2))
    applied(first)
    with pytest.raises(PlanRefused, match="have changed"):
        applied(second)
    third = made(Rules(moves_in_all=3))
    populated("shard_02", "shard_01").plan()  # a forum that came after the plan
    assert len(Plan.objects.get(pk=third.pk).arrangement) <= 64
    request_move(forum_id=heavy[0], target="shard_01", requested_by=None, now=timezone.now())
    with pytest.raises(PlanRefused, match="have changed"):
        applied(third)


def test_what_is_pinned_takes_no_place_among_the_forums_that_are_looked_at(
    heavy: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "FORUMS_A_SHARD", 1)
    pin(forum_id=heavy[2], is_pinned=True)
    assert planned_forums(made()) == [heavy[1]]


def test_pinned_cooling_and_moving_forums_stay(heavy: list[int]) -> None:
    pin(forum_id=heavy[2], is_pinned=True)
    plan = made()
    assert planned_forums(plan) == [heavy[1]]
    done = applied(plan)
    assert heavy[1] not in planned_forums(made(Rules(moves_in_all=10)))  # on the move
    drive_to_end(Move.objects.get(pk=done.moves[0]["move"]))
    assert heavy[1] not in planned_forums(made(Rules(moves_in_all=10)))  # moved lately
    with pytest.raises(NotFound):
        pin(forum_id=8_000_000, is_pinned=True)


def test_a_move_that_is_refused_does_not_stop_the_others(heavy: list[int]) -> None:
    plan = made(Rules(moves_in_all=10))
    first = planned_forums(plan)[0]
    ForumPlacement.objects.filter(pk=first).update(deleted_at=timezone.now())
    done = applied(plan)
    assert "There is no forum" in done.moves[0]["refused"]
    assert all("move" in move for move in done.moves[1:])
    assert Plan.objects.get(hash=plan.hash).moves == done.moves


def test_the_same_fleet_gives_the_same_plan_again_and_old_plans_are_forgotten(heavy: list[int]) -> None:
    long_ago = Plan.objects.create(hash="long0ago", arrangement="", created_at=timezone.now() - KEPT * 2)
    assert made().hash == made().hash
    assert not Plan.objects.filter(pk=long_ago.pk).exists()
    with pytest.raises(NotFound):
        apply_plan(digest="no\x00such", requested_by=None, now=timezone.now())


def test_a_shard_with_forums_is_not_removed() -> None:
    make_forum("shard_02")
    now = timezone.now()
    with pytest.raises(ShardRefused, match="drain it first"):
        remove_shard(name="shard_02", now=now)
    drain_shard(name="shard_02", now=now)
    try:
        with pytest.raises(ShardRefused, match="forums live on shard_02"):
            remove_shard(name="shard_02", now=now)
    finally:
        stop_draining(name="shard_02", now=now)
    assert Shard.objects.get(pk="shard_02").state == "active"
    with pytest.raises(NotFound):
        drain_shard(name="shard_77", now=now)


def output_of(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_the_terminal_plans_simulates_applies_and_pins(heavy: list[int]) -> None:
    plan = json.loads(output_of("moves", "plan", "--moves", "1", "--json"))
    assert [move["forum"] for move in plan["moves"]] == [str(heavy[2])]
    assert f"moves apply {plan['hash']}" in output_of("moves", "plan", "--moves", "1")
    assert "even enough (up to 10000%)" in output_of("moves", "plan", "--threshold", "100")
    shown = output_of("moves", "simulate", "--moves", "1")
    assert all(word in shown for word in ("BEFORE", "AFTER", "shard_02", "█", "6,000,000,000,000,"))
    assert json.loads(output_of("moves", "pin", str(heavy[2]), "--json")) == {"forum": str(heavy[2]), "is_pinned": True}
    with pytest.raises(CommandError, match="have changed"):
        output_of("moves", "apply", plan["hash"])
    assert "may be moved" in output_of("moves", "unpin", str(heavy[2]))
    done = json.loads(output_of("moves", "apply", plan["hash"], "--json"))
    assert Move.objects.get(pk=done["moves"][0]["move"]).forum_id == heavy[2]
    with pytest.raises(CommandError, match="no plan"):
        output_of("moves", "apply", "abcdef")


async def test_the_api_plans_and_applies(heavy: list[int]) -> None:
    async with client(is_staff=True) as http:
        answer = await http.post("/plans", json={"moves_in_all": 1, "threshold": 0.3})
        assert answer.status_code == 201, answer.text
        plan: dict[str, Any] = answer.json()
        assert [move["forum"] for move in plan["moves"]] == [str(heavy[2])]
        assert plan["rules"]["threshold"] == 0.3
        assert plan["hash"] in [item["hash"] for item in (await http.get("/plans")).json()["items"]]
        assert (await http.get(f"/plans/{plan['hash']}")).json() == plan
        done = await http.post(f"/plans/{plan['hash']}/apply")
        assert done.status_code == 202
        move = await Move.objects.aget(pk=done.json()["moves"][0]["move"])
        assert move.requested_by_id is not None
        assert (await http.post(f"/plans/{plan['hash']}/apply")).status_code == 409
        assert (await http.post("/plans", json={"threshold": -1})).status_code == 422
        for path in ("/plans/nothing", "/plans/a%00b"):
            assert (await http.get(path)).status_code == 404
            assert (await http.post(f"{path}/apply")).status_code == 404
    for is_staff, status in ((None, 401), (False, 403)):
        async with client(is_staff=is_staff) as http:
            assert (await http.get("/plans")).status_code == status
            assert (await http.post("/plans", json={})).status_code == status
