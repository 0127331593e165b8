"""People write and read while their forum moves: no error, nothing lost or doubled, a short wait at most to write."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from asgiref.sync import sync_to_async
from django.db import connections

from forum_backend.data.shard.models import Post
from forum_backend.domain.moves import MoveState
from forum_backend.queries.forum_read import forum_read
from tests.integration.moves.driving import Populated, drive_to_end, owners, placement, populated
from tests.integration.moves.test_api import client
from workers.rebalance.runner import drive

WRITERS = 4
MOVES = 12
TIME_LIMIT_S, PAGE_LIMIT_S = 60, 5.0
UNDER_THE_FENCE = {"fence.done", "fence.after", "activate.copied", "activate.before_commit", "activate.done"}


def write_until(place: Populated, stop: threading.Event, writer: int) -> list[tuple[int, str]]:
    """Post until told to stop, reading each post back; the ids and texts that were acknowledged."""
    acknowledged: list[tuple[int, str]] = []
    deadline = time.monotonic() + TIME_LIMIT_S
    try:
        while not stop.is_set() and time.monotonic() < deadline:
            post = place.write(f"{writer}-{len(acknowledged)}")
            acknowledged.append((post.pk, post.body))
            shown = forum_read(place.forum, lambda alias, pk=post.pk: Post.objects.using(alias).filter(pk=pk).exists())
            assert shown, "who wrote sees it"
    finally:
        connections.close_all()
    return acknowledged


def test_writers_never_notice_that_their_forum_moves() -> None:
    place = populated()
    stop = threading.Event()
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write_until, place, stop, number) for number in range(WRITERS)]
        try:
            places = ("shard_01", "shard_02", "shard_00")
            moves = [drive_to_end(place.plan(places[number % 3])) for number in range(MOVES)]
        finally:
            stop.set()
        acknowledged = [row for writer in writers for row in writer.result(TIME_LIMIT_S)]
    assert {move.state for move in moves} == {MoveState.CLEANED}
    assert len(owners(place.forum)) == 1
    assert placement(place.forum)[1] == MOVES + 1
    stored = forum_read(
        place.forum,
        lambda alias: list(Post.objects.using(alias).filter(forum_id=place.forum).values_list("pk", "body")),
    )
    assert len(acknowledged) > MOVES * WRITERS, "they wrote all the time"
    assert len({pk for pk, _ in stored}) == len(stored)
    assert sorted(row for row in stored if "-" in row[1]) == sorted(acknowledged)


async def page(http: httpx.AsyncClient, place: Populated) -> tuple[int, int]:
    """The status of a thread's page, and how many posts it shows."""
    answer = await http.get(f"/threads/{place.thread.pk}/posts?limit=50")
    return answer.status_code, len(answer.json()["items"])


async def test_readers_are_answered_while_a_mover_stands_still_under_its_fence(settings: Any) -> None:
    """At each of its points it goes on when a page was read, and not before."""
    settings.MOVE_BUDGET_MS = 10_000  # a busy machine is no reason to give up
    place = await sync_to_async(populated)()
    move = await sync_to_async(place.plan)()
    pages: dict[str, tuple[int, int]] = {}
    async with client(is_staff=None) as http:
        before, loop = await page(http, place), asyncio.get_running_loop()

        def read(point: str) -> None:
            pages[point] = asyncio.run_coroutine_threadsafe(page(http, place), loop).result(PAGE_LIMIT_S)

        await sync_to_async(drive)(move_id=move.pk, token=move.token, observe=read)
    assert pages.keys() >= UNDER_THE_FENCE
    assert set(pages.values()) == {before} == {(200, 8)}
    await move.arefresh_from_db()
    assert (move.attempts, await sync_to_async(owners)(place.forum)) == (0, ["shard_01"])
