"""Moves that cannot start, and attempts that are given up: said clearly, and the forum stays where it is."""

from typing import Any

import pytest
from django.utils import timezone

from forum_backend.data.control.directory.models import Shard
from forum_backend.domain.errors import IdempotencyMismatch, MoveRefused, NotFound
from forum_backend.domain.moves import MoveState
from forum_backend.services.moves import MAX_ATTEMPTS, request_move
from tests import factories
from tests.integration.moves.driving import at, content, drive_to_end, expire_lease, modes, owners, populated
from workers.rebalance.runner import drive


def request(forum: int, target: str, **more: object) -> object:
    return request_move(forum_id=forum, target=target, now=timezone.now(), **{"requested_by": None, **more})  # type: ignore[arg-type]


def test_moves_that_make_no_sense_are_refused() -> None:
    place = populated("shard_00")
    with pytest.raises(NotFound):
        request(8_000_000, "shard_01")
    with pytest.raises(MoveRefused, match="lives on shard_00 already"):
        request(place.forum, "shard_00")
    with pytest.raises(MoveRefused, match="no shard 'shard_99'"):
        request(place.forum, "shard_99")
    Shard.objects.filter(pk="shard_02").update(state=Shard.State.DRAINING)
    try:
        with pytest.raises(MoveRefused, match="draining"):
            request(place.forum, "shard_02")
    finally:
        Shard.objects.filter(pk="shard_02").update(state=Shard.State.ACTIVE)
    place.plan("shard_01")
    with pytest.raises(MoveRefused, match="on the move already"):
        request(place.forum, "shard_02")


def test_the_same_request_again_is_the_same_move() -> None:
    place = populated("shard_00")
    user = factories.make_user(is_staff=True).pk
    first = request(place.forum, "shard_01", requested_by=user, key="once")
    assert request(place.forum, "shard_01", requested_by=user, key="once") == first
    with pytest.raises(IdempotencyMismatch):
        request(place.forum, "shard_02", requested_by=user, key="once")


def test_over_budget_the_attempt_is_undone_and_in_the_end_given_up(settings: Any) -> None:
    place = populated()
    before = content(place.forum)

    def no_time_at_all() -> None:
        settings.MOVE_BUDGET_MS = 0

    move = place.plan()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        settings.MOVE_BUDGET_MS = 1_500
        drive(move_id=move.pk, token=expire_lease(move), observe=at("fence.gate_closed", no_time_at_all))
        move.refresh_from_db()
        assert move.attempts == attempt
        assert move.state == (MoveState.ABORTED if attempt == MAX_ATTEMPTS else MoveState.CATCHING_UP)
        assert owners(place.forum) == [place.source]
        assert content(place.forum) == before
    assert "budget is 0" in move.error
    assert modes(place.forum)[place.target] == "aborted"
    assert place.write("still here").body == "still here"
    settings.MOVE_BUDGET_MS = 1_500
    assert drive_to_end(place.plan()).state == MoveState.CLEANED
