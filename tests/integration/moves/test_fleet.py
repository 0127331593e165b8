"""What is known of the fleet: loads that are measured, events that are published, what the terminal shows."""

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import redis
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from forum_backend.data.control.directory.models import Shard
from forum_backend.data.control.moves.models import Move, StatusEvent
from forum_backend.domain.moves import MoveState
from forum_backend.queries.shards import shard_states
from forum_backend.queries.streams import STATUS_STREAM
from forum_backend.services.shards import measure_shards
from tests import factories
from tests.integration.moves.driving import drive_to_end, populated


def last_event() -> int:
    return StatusEvent.objects.values_list("number", flat=True).last() or 0


def test_loads_are_measured_and_a_change_is_an_event() -> None:
    measure_shards(now=timezone.now())
    before = {state["name"]: state for state in shard_states()}
    number = last_event()
    factories.make_forum("shard_01")
    now = timezone.now()
    assert measure_shards(now=now) == []
    after = {state["name"]: state for state in shard_states()}
    assert after["shard_01"]["forums_count"] == before["shard_01"]["forums_count"] + 1
    assert after["shard_01"]["bytes"] > 0
    told = StatusEvent.objects.filter(number__gt=number, type="shard.measured")
    assert "shard_01" in [event.data["name"] for event in told]
    shard = Shard.objects.get(pk="shard_01")
    assert (shard.measured_at, shard.placed_since) == (now, 0)


def test_a_dead_shard_keeps_its_figures(kill: Callable[[str], None]) -> None:
    measure_shards(now=timezone.now())
    old = Shard.objects.get(pk="shard_02")
    kill("shard_02")
    later = timezone.now() + timedelta(seconds=1)
    assert measure_shards(now=later) == ["shard_02"]
    dead = Shard.objects.get(pk="shard_02")
    assert (dead.bytes, dead.forums_count, dead.measured_at) == (old.bytes, old.forums_count, old.measured_at)
    assert Shard.objects.get(pk="shard_00").measured_at == later


def answers_by_shard() -> dict[str, str]:
    """The third column of what `shards list` prints."""
    rows = [line.split() for line in output_of("shards", "list").splitlines()]
    assert rows[0][:3] == ["SHARD", "STATE", "ANSWERS"]
    return {row[0]: row[2] for row in rows[1:]}


def test_a_shard_that_died_a_moment_ago_is_listed_as_such(kill: Callable[[str], None]) -> None:
    """Nobody in this process has met it since: it is asked."""
    assert set(answers_by_shard().values()) == {"yes"}
    kill("shard_02")
    assert [name for name, answers in answers_by_shard().items() if answers == "no"] == ["shard_02"]
    listed = json.loads(output_of("shards", "list", "--json"))
    assert [shard["name"] for shard in listed if shard["is_down"]] == ["shard_02"]


def test_transitions_are_published_in_order() -> None:
    client = redis.Redis.from_url(settings.REDIS_URL, decode_responses=True, socket_timeout=5)
    start = last_event()
    move = drive_to_end(populated().plan())
    published: list[Any] = [fields for _id, fields in client.xrange(STATUS_STREAM)]
    mine = [fields for fields in published if int(fields["number"]) > start]
    numbers = [int(fields["number"]) for fields in mine]
    assert numbers == list(range(start + 1, start + 1 + len(numbers)))
    payloads = [json.loads(fields["payload"]) for fields in mine]
    types = [payload["type"] for payload in payloads if payload["data"].get("id") == str(move.pk)]
    passed = [state for state in MoveState if state != MoveState.ABORTED]
    assert [type_ for type_ in types if type_ != "move.progress"] == [f"move.{state}" for state in passed]
    assert payloads[-1]["at"].endswith("Z")


def output_of(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_the_terminal_starts_and_shows_moves() -> None:
    place = populated()
    planned = json.loads(output_of("moves", "start", str(place.forum), "shard_01", "--json"))
    assert (planned["state"], planned["source"], planned["target"]) == ("planned", "shard_00", "shard_01")
    with pytest.raises(CommandError, match="on the move already"):
        output_of("moves", "start", str(place.forum), "shard_02")
    drive_to_end(Move.objects.get(pk=planned["id"]))
    lines = output_of("moves", "status", planned["id"], "--watch").splitlines()
    assert [line.split(", ")[2] for line in lines][-1] == "reversible"
    assert len(lines) >= len(MoveState) - 1
    assert json.loads(output_of("moves", "status", planned["id"], "--json"))["state"] == "cleaned"
    assert planned["id"] in [move["id"] for move in json.loads(output_of("moves", "status", "--json"))]
    shards = json.loads(output_of("shards", "list", "--json"))
    assert [shard["name"] for shard in shards] == ["shard_00", "shard_01", "shard_02"]
    assert "shard_01" in output_of("shards", "list")


def test_the_terminal_says_what_is_wrong_in_one_line() -> None:
    for words in (("moves", "start", "no-such-forum", "shard_01"), ("moves", "status", "99999999")):
        with pytest.raises(CommandError, match="There is no") as error:
            output_of(*words)
        assert "\n" not in str(error.value)
