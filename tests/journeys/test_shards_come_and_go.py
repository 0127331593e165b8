"""A shard joins a running fleet and takes forums without a restart; another is drained by the workers and removed."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from tests.journeys import people
from tests.journeys.people import Person, client_of, expect
from tests.running import Service, wait_for

pytestmark = pytest.mark.journey

NEW, OLD = "shard_02", "shard_00"
FORUMS = 40  # a drain asks for a few moves at a time: half of these take several rounds
SHORT_S, DRAIN_LIMIT_S = 15.0, 90.0


@pytest.fixture
def fleet() -> Iterator[Service]:
    """Two shards. What a move leaves behind is deleted after a second, so that a shard can be removed."""
    with Service(shards=2, durable=False, settings={"MOVE_RETENTION_S": "1"}) as running:
        yield running


def new_database(service: Service, name: str) -> str:
    """An empty database on the server of the second shard; its address without the password."""
    address = address_of(service, "shard_01")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return without_password(address.replace("/shard_01?", f"/{name}?"))


def address_of(service: Service, shard: str) -> str:
    entries = service.servers.environment()["SHARDS"].split(",")
    return dict(entry.split("=", 1) for entry in entries)[shard]


def without_password(address: str) -> str:
    parts = urlsplit(address)
    return parts._replace(netloc=f"{parts.username}@").geturl()


def shards(service: Service, *words: str) -> Any:
    return json.loads(service.manage("shards", *words, "--json"))


def places(client: httpx.Client) -> dict[str, str]:
    """Which forum is where, as the directory has it."""
    page = expect(client.get("/forums", params={"limit": 100}), 200)
    assert page["missing_shards"] == []
    return {forum["id"]: forum["shard"] for forum in page["items"]}


def threads_with_posts(client: httpx.Client, count: int) -> dict[str, str]:
    """New forums, each with a thread; thread by forum."""
    forums = [people.make_forum(client)["id"] for _ in range(count)]
    return {forum: people.make_thread(client, forum)["id"] for forum in forums}


def events(client: httpx.Client, forum: str) -> list[str]:
    return [event["type"] for event in expect(client.get(f"/forums/{forum}/events"), 200)["items"]]


def test_a_shard_is_added_and_another_drained_and_removed(fleet: Service) -> None:
    staff = Person("staff", fleet.token("staff", staff=True))
    pids = fleet.pids
    with client_of(fleet, staff) as client:
        threads = threads_with_posts(client, FORUMS)
        assert set(places(client).values()) == {"shard_00", "shard_01"}
        refuse_what_will_not_do(fleet)
        add_and_use(fleet, client, threads)
        drain_and_remove(fleet, client)
        for thread in threads.values():
            expect(client.post(f"/threads/{thread}/posts", json={"body": "after all that"}), 201)
            assert len(people.all_items(client, f"/threads/{thread}/posts")) == 2
        assert [shard["name"] for shard in expect(client.get("/shards"), 200)["items"]] == ["shard_01", NEW]
        wait_for(lambda: OLD not in fleet.get_json("/readyz")["databases"], seconds=SHORT_S, what="the removal")
        assert shards(fleet, "add", OLD, without_password(address_of(fleet, OLD)))["state"] == "active"
    assert fleet.pids == pids, "no process was started anew"


def refuse_what_will_not_do(fleet: Service) -> None:
    control = without_password(fleet.servers.environment()["DATABASE_URL"])
    taken = without_password(address_of(fleet, "shard_01"))
    nowhere = "postgresql://forum@127.0.0.1:1/nowhere"
    for name, address, reason in (
        ("shard_05", control, "is the database of default"),
        ("shard_05", taken, "is the database of shard_01"),
        ("shard_01", taken, "There is a shard shard_01 already"),
        ("shard_05", nowhere, "does not answer"),
        ("shard_05", "postgresql://forum:secret@127.0.0.1:1/x", "SHARD_PASSWORD"),
        ("shard-5", taken, "no name for a shard"),
        ("shard_05", "nonsense", "not a valid"),
    ):
        with pytest.raises(RuntimeError, match=reason):
            shards(fleet, "add", name, address)
    assert [shard["name"] for shard in shards(fleet, "list")] == ["shard_00", "shard_01"]


def add_and_use(fleet: Service, client: httpx.Client, threads: dict[str, str]) -> None:
    """The running web, relay and worker processes serve a forum on the new shard."""
    added = shards(fleet, "add", NEW, new_database(fleet, NEW))
    assert (added["name"], added["state"], added["forums_count"]) == (NEW, "active", 0)
    forum, thread = next(iter(threads_with_posts(client, 1).items()))
    threads[forum] = thread
    assert places(client)[forum] == NEW, "the emptiest shard is the one to go to"
    wait_for(lambda: "post.created" in events(client, forum), seconds=SHORT_S, what="the relay on the new shard")
    wait_for(lambda: NEW in fleet.get_json("/readyz")["databases"], seconds=SHORT_S, what="the registry's refresh")


def drain_and_remove(fleet: Service, client: httpx.Client) -> None:
    """Workers empty a shard that an operator drains; only then it can be removed."""
    expected = [forum for forum, shard in places(client).items() if shard == OLD]
    drained = shards(fleet, "drain", OLD)
    assert drained["state"] == "draining"
    assert {move["forum"] for move in drained["plan"]["moves"]} < set(expected)
    with pytest.raises(RuntimeError, match="forums live on"):
        shards(fleet, "remove", OLD)
    wait_for(lambda: OLD not in places(client).values(), seconds=DRAIN_LIMIT_S, what="the drain")
    wait_for(lambda: running_moves(client) == 0, seconds=DRAIN_LIMIT_S, what="the clean-up")
    assert shards(fleet, "remove", OLD)["state"] == "removed"


def running_moves(client: httpx.Client) -> int:
    return len(expect(client.get("/moves", params={"running": True}), 200)["items"])
