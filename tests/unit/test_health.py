"""A shard that hangs or is down keeps few callers, for a moment, and nobody of the other shards."""

import pytest

from forum_backend.domain.errors import ShardUnavailable
from routers.health import TRIAL_S, ShardHealth


def test_a_shard_that_hangs_keeps_no_more_callers_than_places() -> None:
    health = ShardHealth(places=2, place_wait_s=0.01)
    with health.place_at("hangs"), health.place_at("hangs"):
        with pytest.raises(ShardUnavailable), health.place_at("hangs"):
            pass
        assert health.is_down("hangs")
        with health.place_at("another"):
            assert not health.is_down("another")
    health.answered("hangs")
    with health.place_at("hangs"):
        assert not health.is_down("hangs")


def test_while_one_caller_tries_the_others_stay_away(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("routers.health.time.monotonic", lambda: now)
    health = ShardHealth(pause_s=0.5)
    health.failed("down")
    now += 0.6
    health.refuse_if_down("down")  # tries
    now += TRIAL_S - 0.1
    with pytest.raises(ShardUnavailable):
        health.refuse_if_down("down")
    now += 0.2  # nothing was heard of who tried
    health.refuse_if_down("down")
