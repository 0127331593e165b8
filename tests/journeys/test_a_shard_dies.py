"""One shard's server dies: its forums say so, all others go on; it comes back, and all is well without a restart."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.journeys import people
from tests.journeys.people import Follower, Person, client_of, expect
from tests.running import Service, http_get, wait_for

pytestmark = pytest.mark.journey

ROUNDS, VISITORS = 100, 4
SLOWEST_S = 2.5  # for the other shards' forums, while the dead one's are asked for all the time
REFUSED_WITHIN_S = 5.0


@pytest.fixture
def homes(service: Service, staff: Person) -> dict[str, Any]:
    """A forum with a thread on each shard: shard -> forum, with the thread's id as `thread`."""
    found: dict[str, Any] = {}
    with client_of(service, staff) as client:
        shards = {shard["name"] for shard in expect(client.get("/shards"), 200)["items"]}
        for _ in range(30):
            if set(found) == shards:
                return found
            forum = people.make_forum(client)
            forum = expect(client.get(f"/forums/{forum['id']}"), 200)
            found.setdefault(forum["shard"], {**forum, "thread": people.make_thread(client, forum["id"])["id"]})
    raise AssertionError(f"30 new forums, and none on {shards - set(found)}")


@pytest.fixture
def dead(service: Service, homes: dict[str, Any]) -> Iterator[str]:
    """The name of a shard whose server was killed; it is started again at the latest when the test ends."""
    name = max(homes)
    service.servers.kill_server(name)
    yield name
    if name in service.servers.fallen():
        service.servers.start_server(name)


def test_a_shard_dies_and_comes_back(service: Service, homes: dict[str, Any], person: Person, dead: str) -> None:
    before = service.pids
    with client_of(service, person) as client:
        others = {name: forum for name, forum in homes.items() if name != dead}
        check_refusals(client, homes[dead], dead)
        check_missing(service, client, dead, homes)
        asyncio.run(check_live(service, client, others))
        asyncio.run(check_dead_socket(service, homes[dead]))
        slowest_s = check_pace(client, others, homes[dead])

        began = time.monotonic()
        service.servers.start_server(dead)
        thread = homes[dead]["thread"]
        posts, back = f"/threads/{thread}/posts", {"body": "Is anybody there?"}
        wait_for(lambda: client.get(posts).status_code == 200, seconds=15, what="the way back")
        # A process leaves a shard alone for a moment after a failure, and says when to try again.
        wait_for(lambda: client.post(posts, json=back).status_code == 201, seconds=15, what="the writers' way back")
        print(f"\nthe others' slowest answer {slowest_s * 1000:.0f} ms; back after {time.monotonic() - began:.1f} s")
        asyncio.run(check_live(service, client, homes))
        state = service.get_json("/readyz")
        assert set(state["databases"].values()) == {"ok"}
        assert client.get("/forums").json()["missing_shards"] == []
    after = service.pids
    assert {name: pid for name, pid in before.items() if name != dead} == {
        name: pid for name, pid in after.items() if name != dead
    }


def check_refusals(client: httpx.Client, forum: Any, shard: str) -> None:
    """Reading and writing answer 503, soon, as a problem that names the shard and says when to try again."""
    attempts = [
        lambda: client.get(f"/forums/{forum['id']}"),
        lambda: client.get(f"/threads/{forum['thread']}"),
        lambda: client.get(f"/threads/{forum['thread']}/posts"),
        lambda: client.get(f"/forums/{forum['id']}/threads"),
        lambda: client.get(f"/forums/{forum['id']}/events"),
        lambda: client.post(f"/threads/{forum['thread']}/posts", json={"body": "Anybody there?"}),
    ]
    for attempt in attempts:
        began = time.monotonic()
        answer = attempt()
        assert answer.status_code == 503, f"{answer.request.url} {answer.status_code} {answer.text[:300]}"
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert int(answer.headers["Retry-After"]) >= 1
        problem = answer.json()
        assert (problem["status"], problem["shard"]) == (503, shard)
        assert time.monotonic() - began < REFUSED_WITHIN_S


def check_missing(service: Service, client: httpx.Client, shard: str, homes: dict[str, Any]) -> None:
    """Lists say what is missing, machines are told, pages stay polite."""
    page = expect(client.get("/forums", params={"limit": 100}), 200)
    listed = {item["id"] for item in page["items"]}
    assert page["missing_shards"] == [shard]
    assert {forum["id"] for name, forum in homes.items() if name != shard} <= listed
    assert homes[shard]["id"] not in listed
    state = service.get_json("/readyz")
    assert (state["ready"], state["databases"][shard]) == (True, "down")
    front, _ = http_get(service.port, "/")
    assert front == 200
    dead_page = httpx.get(f"{service.url}/f/{homes[shard]['slug']}/", timeout=people.REQUEST_LIMIT_S)
    assert dead_page.status_code == 503
    assert dead_page.headers["Content-Type"].startswith("text/html")
    assert "Retry-After" in dead_page.headers
    assert "Traceback" not in dead_page.text
    alive = next(forum for name, forum in homes.items() if name != shard)
    assert http_get(service.port, f"/f/{alive['slug']}/")[0] == 200


async def check_live(service: Service, client: httpx.Client, homes: dict[str, Any]) -> None:
    """On each of these forums a post is taken, shown, and reaches a follower."""
    for forum in homes.values():
        follower = Follower(service, forum["id"])
        await follower.follow()
        await follower.reaches(0, seconds=10)
        answer = await asyncio.to_thread(client.post, f"/threads/{forum['thread']}/posts", json={"body": "Still here"})
        post = expect(answer, 201)
        while post["id"] not in follower.posts:  # what was written before may be told only now
            await follower.reaches(follower.last + 1, seconds=15)
        await follower.leave()
        shown = expect(await asyncio.to_thread(client.get, f"/posts/{post['id']}"), 200)
        assert shown["body"] == "Still here"


async def check_dead_socket(service: Service, forum: Any) -> None:
    """A new follower of a dead forum is told so, and may come back."""
    async with connect(f"{service.websocket_url}/ws/forums/{forum['id']}", open_timeout=10) as socket:
        frame = await asyncio.wait_for(socket.recv(), 10)
        assert '"error"' in str(frame)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 10)
        assert socket.close_code == 4003


def check_pace(client: httpx.Client, others: dict[str, Any], dead: Any) -> float:
    """The others are not made to wait by the dead one's many visitors; tells the slowest answer."""
    path = f"/threads/{dead['thread']}/posts"
    stop = threading.Event()

    def visit() -> set[int]:
        seen = set()
        while not stop.is_set():
            seen |= {client.get(path).status_code, client.post(path, json={"body": "Hello?"}).status_code}
        return seen

    with ThreadPoolExecutor(VISITORS) as pool:
        visits = [pool.submit(visit) for _ in range(VISITORS)]
        try:
            slowest_s = max(_slowest_of(client, f"/threads/{forum['thread']}/posts") for forum in others.values())
        finally:
            stop.set()
        assert {status for seen in visits for status in seen.result(timeout=20)} == {503}
    assert slowest_s < SLOWEST_S
    return slowest_s


def _slowest_of(client: httpx.Client, path: str) -> float:
    """Of many reads and writes of a forum that lives."""
    slowest_s = 0.0
    for number in range(ROUNDS):
        began = time.monotonic()
        answer = client.post(path, json={"body": "As ever"}) if number % 2 else client.get(path)
        assert answer.status_code in (200, 201), answer.text[:300]
        slowest_s = max(slowest_s, time.monotonic() - began)
    return slowest_s
