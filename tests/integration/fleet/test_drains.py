"""Drains: what a shard refuses goes to another one, what holds a drain up is said, and nothing is kept for nothing."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from forum_backend.data.control.directory.models import ForumPlacement, Plan
from forum_backend.data.control.moves.models import Move, StatusEvent
from forum_backend.domain.errors import PlanRefused
from forum_backend.services import plans
from forum_backend.services.fleet_changes import drain_shard, stop_draining
from forum_backend.services.moves import request_move
from forum_backend.services.plans import AVOIDED_FOR, drain_on, pin
from tests.integration.fleet.test_plans import _idle_fleet, applied, heavy, made, output_of
from tests.integration.moves.driving import populated
from tests.integration.moves.test_doctor import spoiled

__all__ = ["_idle_fleet", "heavy"]

UNARMED = "ALTER TABLE vote {} TRIGGER forum_capture"


@contextmanager
def drained(shard: str) -> Iterator[None]:
    drain_shard(name=shard, now=timezone.now())
    try:
        yield
    finally:
        stop_draining(name=shard, now=timezone.now())


@pytest.fixture(autouse=True)
def _nothing_refused_lately() -> None:
    Plan.objects.all().delete()


@pytest.fixture
def pinned() -> Iterator[list[int]]:
    """All forums of a shard; there is one at least."""
    populated("shard_02")
    forums = list(ForumPlacement.objects.filter(shard_id="shard_02", is_pinned=False).values_list("pk", flat=True))
    ForumPlacement.objects.filter(pk__in=forums).update(is_pinned=True)
    yield forums
    ForumPlacement.objects.filter(pk__in=forums).update(is_pinned=False)


def refusals() -> list[dict[str, str]]:
    return list(StatusEvent.objects.filter(type="drain.refused").order_by("number").values_list("data", flat=True))


def test_what_a_shard_refuses_is_offered_to_another_one(heavy: list[int]) -> None:
    """It answers, and is the emptiest for it never takes anything: asked for ever, it would hold the drain up."""
    now, before = timezone.now(), len(refusals())
    with drained("shard_00"), spoiled("shard_02", by=UNARMED.format("DISABLE"), undo=UNARMED.format("ENABLE")):
        done = drain_on(now=now)
        assert done is not None
        assert {move["target"] for move in done.moves} == {"shard_01"}
        assert set(Move.objects.filter(forum_id__in=heavy).values_list("target_id", flat=True)) == {"shard_01"}
        assert Move.objects.filter(forum_id__in=heavy).count() == len(heavy)
        (told,) = refusals()[before:]
        assert told["shard"] == "shard_02"
        assert "forum_capture" in told["reason"]
        drain_on(now=now + AVOIDED_FOR / 2)
        assert len(refusals()) == before + 1, "it is left alone for a while"
    Move.objects.filter(state="planned").update(state="aborted", finished_at=now - timedelta(hours=1))
    with drained("shard_00"):
        done = drain_on(now=now + 2 * AVOIDED_FOR)
        assert done is not None
        assert "shard_02" in {move["target"] for move in done.moves}


def test_where_all_refuse_the_plan_says_so_and_the_next_one_is_not_kept(heavy: list[int]) -> None:
    now = timezone.now()
    with drained("shard_00"), spoiled("shard_00", by=UNARMED.format("DISABLE"), undo=UNARMED.format("ENABLE")):
        done = drain_on(now=now)
        assert done is not None
        assert all("refused" in move for move in done.moves)
        plan = drain_on(now=now)
        assert plan is not None
        assert (plan.pk, plan.moves) == (None, [])
        assert {held["reason"] for held in plan.content["held"] if int(held["forum"]) in heavy} == {
            "the shards that could take it refused a moment ago"
        }


def test_a_drain_that_pins_hold_up_says_so_and_keeps_no_plans(pinned: list[int]) -> None:
    kept = Plan.objects.count()
    with drained("shard_02"):
        plan = drain_on(now=timezone.now())
        assert plan is not None
        assert (plan.pk, plan.moves) == (None, [])
        shown = output_of("shards", "drain", "shard_02")
        assert "there until unpinned or moved by hand, and nothing else is left to move." in shown
        assert f"forum {pinned[0]} stays on shard_02: it is pinned" in shown
        assert "the workers move" not in shown
        told = json.loads(output_of("shards", "drain", "shard_02", "--json"))
        assert {held["reason"] for held in told["plan"]["held"]} == {"it is pinned"}
        assert Plan.objects.count() == kept
        pin(forum_id=populated("shard_02").forum, is_pinned=False)
        assert "the workers move the others" in output_of("shards", "drain", "shard_02")


def test_a_drain_that_meets_another_one_looks_again(heavy: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def taken_at_first(digest: str, **more: object) -> Plan:
        asked.append(digest)
        if len(asked) == 1:
            raise PlanRefused
        return taking(digest, **more)  # type: ignore[arg-type]

    taking = plans._take
    monkeypatch.setattr(plans, "_take", taken_at_first)
    with drained("shard_00"):
        done = drain_on(now=timezone.now())
    assert done is not None
    assert done.applied_at is not None


def test_a_move_that_the_database_refuses_does_not_stop_the_others(
    heavy: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was asked for before the process dies is written down."""

    def request(*, forum_id: int, **more: object) -> Move:
        if forum_id == planned[0]:
            raise OperationalError("canceling statement due to statement timeout\nCONTEXT: of no use")
        if forum_id == planned[2]:
            raise KeyboardInterrupt
        return request_move(forum_id=forum_id, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(plans, "request_move", request)
    with drained("shard_00"):
        plan = made(plans.DRAIN)
        planned = [int(move["forum"]) for move in plan.moves]
        with pytest.raises(KeyboardInterrupt):
            applied(plan)
    first, second, third = Plan.objects.get(hash=plan.hash).moves[:3]
    assert first["refused"] == "canceling statement due to statement timeout"
    assert Move.objects.get(pk=second["move"]).forum_id == planned[1]
    assert not {"move", "refused"} & third.keys()
