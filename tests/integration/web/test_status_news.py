"""What those who watch the fleet are told of shards: what changed, and no more."""

from typing import Any

from django.utils import timezone

from forum_backend.data.control.directory.models import ForumLoad
from forum_backend.data.control.moves.models import StatusEvent
from forum_backend.embedded import EmbeddedServers
from forum_backend.queries.fleet_states import fleet_states, rounded, silent_shards
from forum_backend.queries.status import last_status_number, status_snapshot
from forum_backend.services.fleet_news import tell_fleet
from forum_backend.services.shards import measure_shards
from tests import factories


def told_since(number: int) -> list[tuple[str, dict[str, Any]]]:
    return list(StatusEvent.objects.filter(number__gt=number).order_by("number").values_list("type", "data"))


def test_only_what_changed_is_told() -> None:
    states = fleet_states(silent=[])
    tell_fleet(states, now=timezone.now())
    number = last_status_number()
    tell_fleet(states, now=timezone.now())
    assert told_since(number) == []
    busier = [{**state, "reads_s": state["reads_s"] + 5} for state in states if state["name"] == "shard_01"]
    tell_fleet([*states, *busier], now=timezone.now())
    assert told_since(number) == [("shard.measured", busier[0])]


def test_a_shard_that_goes_silent_is_told_once_and_when_it_is_back(servers: EmbeddedServers) -> None:
    measure_shards(now=timezone.now())
    number = last_status_number()
    servers.kill_server("shard_02")
    try:
        for _ in range(2):
            assert measure_shards(now=timezone.now()) == ["shard_02"]
        assert silent_shards() == ["shard_02"]
        down = [shard["name"] for shard in status_snapshot()[1]["shards"] if shard["is_down"]]
        assert down == ["shard_02"]
    finally:
        servers.start_server("shard_02")
    told = [(kind, data["is_down"]) for kind, data in told_since(number) if data["name"] == "shard_02"]
    assert told == [("shard.silent", True)]


def test_rates_are_those_of_the_forums_of_a_shard() -> None:
    before = {state["name"]: state for state in fleet_states(silent=[])}
    for writes_s in (2_000.0, 4_000.0):
        forum = factories.make_forum("shard_01")
        ForumLoad.objects.create(forum=forum, writes_s=writes_s, reads_s=writes_s * 10)
    try:
        after = {state["name"]: state for state in fleet_states(silent=[])}
        assert after["shard_01"]["writes_s"] >= 6_000 > before["shard_01"]["writes_s"]
        assert after["shard_01"]["reads_s"] >= 60_000
        assert after["shard_00"]["writes_s"] == before["shard_00"]["writes_s"]
    finally:
        ForumLoad.objects.filter(writes_s__gte=2_000).delete()


def test_rates_have_two_digits_and_an_end() -> None:
    assert [rounded(rate) for rate in (1_234.5, 12.34, 0.456, 0.009, 0.0)] == [1200.0, 12.0, 0.46, 0.0, 0.0]
