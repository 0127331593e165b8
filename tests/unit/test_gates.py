"""Places at the gates of fenced forums: few, in turn, and neither the queue nor the wait is without an end."""

import asyncio
from typing import Any

import pytest

from forum_backend.domain.errors import ForumMoving
from forum_backend.services.crossing import in_service_thread
from forum_backend.services.gates import NOT_HERE, GateClosed, GatePlaces, deadline


async def test_who_finds_no_place_waits_in_turn_and_the_queue_has_an_end() -> None:
    places = GatePlaces(1, 1)
    order: list[str] = []

    async def second() -> None:
        async with places.place():
            order.append("second")

    async with places.place():
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0)
        assert places.waiting == 2
        with pytest.raises(ForumMoving):
            await second()
        order.append("first")
    await waiting
    assert (order, places.waiting) == (["first", "second"], 0)


async def test_who_waits_too_long_or_leaves_gives_up_the_place(settings: Any) -> None:
    settings.MOVE_WAIT_LIMIT_MS = 20
    places = GatePlaces(1, 5)
    async with places.place():
        with pytest.raises(ForumMoving):
            async with places.place():
                pytest.fail("there is one place")
        left = asyncio.create_task(places.place().__aenter__())
        await asyncio.sleep(0)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert places.waiting == 1
    async with places.place():
        assert places.waiting == 1


async def test_a_call_comes_back_from_a_fence_once_and_waits_there_the_second_time() -> None:
    """Within one time limit, whether it waits for a place or in it."""
    seen: list[float] = []

    def write() -> str:
        seen.append(deadline())
        if deadline() == NOT_HERE:
            raise GateClosed
        return "written"

    assert await in_service_thread(write) == "written"
    assert [until == NOT_HERE for until in seen] == [True, False]


def test_a_thread_of_ones_own_may_wait() -> None:
    assert deadline() > 0
