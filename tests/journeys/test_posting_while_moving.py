"""Eight people post into two forums while one of them moves back and forth twenty times, and websockets follow both."""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.journeys import people
from tests.journeys.people import Follower, Person, Written, client_of, expect
from tests.running import Service, wait_for

pytestmark = pytest.mark.journey

SAMPLES = Path(__file__).parent / "samples"
VISIBLE = {"bakery": 5, "cycling": 6}  # of 7 and 6 posts; the bakery's has a deleted one and a spam one
WRITERS, MOVES = 8, 20
PACE_S = 0.15  # between two posts of a writer: the forum must stay small enough to be moved
LIMIT_S = 300.0


def test_posting_while_moving(service: Service, staff: Person) -> None:
    writers = [people.make_person(service) for _ in range(WRITERS)]
    with client_of(service, staff) as client:
        forums = {name: import_sample(service, client, staff, name) for name in VISIBLE}
        part(client, forums)
        threads = {name: people.make_thread(client, forum["id"])["id"] for name, forum in forums.items()}
        began = time.monotonic()
        with people.ungentle(client):
            told = asyncio.run(asyncio.wait_for(live_through(service, client, forums, threads, writers), LIMIT_S))
        moves, written, followers = told
        print(summary(moves, written, followers, seconds=time.monotonic() - began))

        assert [move["state"] for move in moves if move["state"] not in ("departed", "reversible", "cleaned")] == []
        for name, forum in forums.items():
            acknowledged = [post for each in written for post in each.posts.get(threads[name], [])]
            check_pages(client, threads[name], acknowledged)
            check_counters(client, forum["id"], visible=VISIBLE[name] + 1 + len(acknowledged))
            for follower in followers[name]:
                follower.assert_gapless()
                assert sorted(set(acknowledged)) == sorted(post for post in follower.posts)
        for writer, each in zip(writers, written, strict=True):
            check_profile(client, writer, posts=sum(map(len, each.posts.values())))


def part(client: httpx.Client, forums: dict[str, Any]) -> None:
    """On two shards, though the emptiest one of the moment may have taken both."""
    here = forums["bakery"]["shard"]
    if forums["cycling"]["shard"] == here:
        shards = [shard["name"] for shard in expect(client.get("/shards"), 200)["items"]]
        elsewhere = next(name for name in shards if name != here)
        people.move(client, forum=forums["cycling"]["id"], target=elsewhere)
        forums["cycling"] = expect(client.get(f"/forums/{forums['cycling']['id']}"), 200)
    assert forums["cycling"]["shard"] != here


def import_sample(service: Service, client: httpx.Client, owner: Person, name: str) -> Any:
    slug = people.unique(name)
    words = ("import_disqus", str(SAMPLES / f"{name}.xml"), "--forum", slug, "--owner", owner.username, "--json")
    report = orjson.loads(service.manage(*words))
    assert report["problems"] == [], report
    return expect(client.get(f"/forums/{slug}"), 200)


async def live_through(
    service: Service, client: httpx.Client, forums: dict[str, Any], threads: dict[str, str], writers: list[Person]
) -> tuple[list[Any], list[Written], dict[str, list[Follower]]]:
    """Followers first, then writers, then moves; when these are done the writers stop and the followers catch up."""
    followers = {name: [Follower(service, forum["id"]) for _ in range(3)] for name, forum in forums.items()}
    for follower in (each for group in followers.values() for each in group):
        await follower.follow()
        await follower.reaches(0, seconds=10)
    stop = asyncio.Event()
    written = [Written() for _ in writers]
    async with asyncio.TaskGroup() as group:
        for person, book in zip(writers, written, strict=True):
            group.create_task(keep_writing(service, person, list(threads.values()), book, stop))
        moves = await move_back_and_forth(client, forums, followers)
        stop.set()
    for name, forum in forums.items():
        await asyncio.to_thread(wait_for_relay, client, forum, written, threads[name])
        number = await asyncio.to_thread(people.last_number, client, forum["id"])
        for follower in followers[name]:
            await follower.reaches(number, seconds=15)
            await follower.leave()
    return moves, written, followers


async def keep_writing(
    service: Service, person: Person, threads: list[str], written: Written, stop: asyncio.Event
) -> None:
    async with httpx.AsyncClient(
        base_url=f"{service.url}/api/v1", headers=person.headers, timeout=people.REQUEST_LIMIT_S
    ) as client:
        number = 0
        while not stop.is_set():
            body = f"{person.username} writes number {number}"
            await people.write_post(client, thread=threads[number % len(threads)], body=body, written=written)
            number += 1
            await asyncio.sleep(PACE_S)


async def move_back_and_forth(
    client: httpx.Client, forums: dict[str, Any], followers: dict[str, list[Follower]]
) -> list[Any]:
    """The bakery goes to the cyclists' shard and back. Halfway one follower of each forum goes away and comes back."""
    there = [forums["cycling"]["shard"], forums["bakery"]["shard"]]
    moves = []
    for number in range(MOVES):
        if number == MOVES // 2:
            for group in followers.values():
                await group[0].leave()
        moves.append(
            await asyncio.to_thread(people.move, client, forum=forums["bakery"]["id"], target=there[number % 2])
        )
        if number == MOVES // 2:
            for group in followers.values():
                await group[0].follow()
    return moves


def wait_for_relay(client: httpx.Client, forum: Any, written: list[Written], thread: str) -> None:
    """Until the thread's counter has all that was acknowledged: the relay has numbered everything."""
    expected = 1 + sum(len(each.posts.get(thread, [])) for each in written)

    def is_counted() -> bool:
        return expect(client.get(f"/threads/{thread}"), 200)["posts_count"] >= expected

    wait_for(is_counted, seconds=20, what=f"{expected} posts in the counter of {forum['slug']}")


def check_pages(client: httpx.Client, thread: str, acknowledged: list[str]) -> None:
    """Every acknowledged post is there exactly once, and nothing else."""
    found = [item["id"] for item in people.all_items(client, f"/threads/{thread}/posts")]
    assert len(found) == len(set(found))
    assert sorted(found[1:]) == sorted(acknowledged)
    assert len(acknowledged) == len(set(acknowledged))


def check_counters(client: httpx.Client, forum: str, *, visible: int) -> None:
    shown = expect(client.get(f"/forums/{forum}"), 200)
    assert (shown["threads_count"], shown["posts_count"]) == (3, visible)


def check_profile(client: httpx.Client, writer: Person, *, posts: int) -> None:
    def adds_up() -> bool:
        return expect(client.get(f"/users/{writer.username}"), 200)["posts_count"] == posts

    wait_for(adds_up, seconds=15, what=f"{posts} posts in the profile of {writer.username}")


def summary(moves: list[Any], written: list[Written], followers: dict[str, list[Follower]], *, seconds: float) -> str:
    windows = sorted(move["window_ms"] for move in moves if move["window_ms"] is not None)
    posts = sum(len(ids) for each in written for ids in each.posts.values())
    events = sum(len(follower.numbers) for group in followers.values() for follower in group)
    window = f"{statistics.median(windows):.1f} / {windows[-1]:.1f} ms" if windows else "none"
    return (
        f"\n{posts} posts acknowledged in {seconds:.0f} s by {WRITERS} writers;"
        f" {sum(each.refusals for each in written)} times 503, healed by a retry;"
        f" slowest post {max(each.slowest_s for each in written) * 1000:.0f} ms;"
        f" {len(moves)} moves, {sum(move['attempts'] for move in moves)} of their attempts repeated,"
        f" windows p50 / max {window}; {events} events at {sum(map(len, followers.values()))} followers"
    )
