"""Places at the gates of fenced forums: few, in turn, and neither the queue nor the wait is without an end."""

import asyncio
import time
from math import isfinite
from typing import Any

import pytest

from forum_backend.domain.errors import ForumMoving
from forum_backend.services.crossing import in_service_thread
from forum_backend.services.gates import NOT_HERE, GateClosed, GatePlaces, deadline, waits_until


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


async def test_who_waits_too_long_goes_without_a_place_and_who_leaves_holds_none(settings: Any) -> None:
    settings.MOVE_WAIT_LIMIT_MS = 20
    places = GatePlaces(1, 5)
    async with places.place():
        async with places.place() as until:  # asks once more, and waits no longer
            assert time.monotonic() >= until
            assert places.waiting == 2
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
    seen: list[float | None] = []

    def write() -> str:
        seen.append(waits_until.get())
        if deadline() == NOT_HERE:
            raise GateClosed
        return "written"

    assert await in_service_thread(write) == "written"
    first, second = seen
    assert first == NOT_HERE
    assert second is not None
    assert isfinite(second)


def test_a_thread_of_ones_own_may_wait() -> None:
    assert deadline() > 0
