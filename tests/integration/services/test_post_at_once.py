"""Posts written on the event loop: what stands in the way there is left to the service, and no post is doubled."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone

from forum_backend.data.shard.models import Post, Thread
from forum_backend.domain.errors import Closed, IdempotencyMismatch, NotFound, NotOwner
from forum_backend.domain.moves import OwnershipMode
from forum_backend.queries.async_pools import close_pools
from forum_backend.services.forum_write import forum_write, retries
from forum_backend.services.posts import SHORT, create_post, create_post_at_once
from routers.directory import Location, directory
from tests.factories import make_forum, make_thread, make_user, unique

SHORT_WAIT_S = 5.0  # a statement may take ten seconds; a lock is waited for a tenth of one


def on_a_loop[T](ask: Callable[[], Awaitable[T]]) -> T:
    """As a web process would: the pools belong to the loop and end with it."""

    async def run() -> T:
        try:
            return await ask()
        finally:
            await close_pools()

    return asyncio.run(run())


@pytest.fixture
def thread() -> Thread:
    return make_thread(make_forum().forum_id)


@pytest.fixture
def wanted(thread: Thread) -> dict[str, Any]:
    return {
        "thread_id": thread.pk,
        "author_id": make_user().pk,
        "body": "**Short** enough",
        "now": timezone.now(),
        "key": unique("key"),
    }


def posts_of(thread: Thread) -> int:
    return Post.objects.filter(thread_id=thread.pk).count()


def test_it_answers_as_the_service_does_and_both_share_the_key(thread: Thread, wanted: dict[str, Any]) -> None:
    at_once = on_a_loop(lambda: create_post_at_once(**wanted))
    assert at_once is not None
    assert at_once == create_post(**wanted)
    assert on_a_loop(lambda: create_post_at_once(**wanted)) == at_once
    assert posts_of(thread) == 1
    with pytest.raises(IdempotencyMismatch):
        on_a_loop(lambda: create_post_at_once(**{**wanted, "body": "Another"}))


def test_without_a_key_or_with_a_long_body_it_is_the_services(thread: Thread, wanted: dict[str, Any]) -> None:
    assert on_a_loop(lambda: create_post_at_once(**{**wanted, "key": None})) is None
    assert on_a_loop(lambda: create_post_at_once(**{**wanted, "body": "x" * (SHORT + 1)})) is None
    assert posts_of(thread) == 0


def test_a_closed_thread_is_refused_at_once(thread: Thread, wanted: dict[str, Any]) -> None:
    thread.is_closed = True
    forum_write(thread.forum_id, lambda forum: thread.save(using=forum.shard))
    with pytest.raises(Closed):
        on_a_loop(lambda: create_post_at_once(**wanted))


def test_a_fence_is_the_services_to_wait_at(thread: Thread, wanted: dict[str, Any]) -> None:
    shard = thread._state.db
    assert shard is not None
    with connections[shard].cursor() as cursor:
        cursor.execute("SELECT forum_set_ownership(%s, ARRAY['owner'], 1, 0, 'fenced', 1)", [thread.forum_id])
        with pytest.raises(NotOwner) as refused:
            on_a_loop(lambda: create_post_at_once(**wanted))
        assert refused.value.ownership.mode == OwnershipMode.FENCED
        cursor.execute("SELECT forum_set_ownership(%s, ARRAY['fenced'], 1, 0, 'owner', 1)", [thread.forum_id])
    assert create_post(**wanted, refusal=refused.value) == on_a_loop(lambda: create_post_at_once(**wanted))
    assert posts_of(thread) == 1


def test_who_met_the_fence_is_told_at_the_gate_where_the_forum_went(thread: Thread, wanted: dict[str, Any]) -> None:
    """Without another attempt on the shard that it left."""
    source = thread._state.db
    assert source is not None
    target = next(shard for shard in ("shard_00", "shard_01") if shard != source)
    with connections[source].cursor() as cursor:
        cursor.execute(
            "SELECT forum_set_ownership(%s, ARRAY['owner'], 1, 0, 'fenced', 1, false, %s, 2)",
            [thread.forum_id, target],
        )
        with pytest.raises(NotOwner) as refused:
            on_a_loop(lambda: create_post_at_once(**wanted))
        cursor.execute(
            "SELECT forum_set_ownership(%s, ARRAY['fenced'], 1, 0, 'departed', 1, false, %s, 2)",
            [thread.forum_id, target],
        )
    with connections[target].cursor() as cursor:
        cursor.execute("SELECT forum_set_ownership(%s, ARRAY['absent'], NULL, 0, 'owner', 2)", [thread.forum_id])
    before = retries.total
    with pytest.raises(NotFound):  # its rows were not copied there
        create_post(**wanted, refusal=refused.value)
    assert directory.known(thread.forum_id) == Location(target, 2)
    assert retries.total == before + 1


def test_it_waits_a_moment_only_for_a_lock(thread: Thread, wanted: dict[str, Any]) -> None:
    shard = thread._state.db
    assert shard is not None
    with transaction.atomic(using=shard):
        Thread.objects.using(shard).select_for_update().get(pk=thread.pk)
        began = time.monotonic()
        assert on_a_loop(lambda: create_post_at_once(**wanted)) is None
        assert time.monotonic() - began < SHORT_WAIT_S, "it waited until the statement's own limit"
    assert posts_of(thread) == 0


def test_a_connection_that_broke_meanwhile_is_replaced(thread: Thread, wanted: dict[str, Any]) -> None:
    shard = thread._state.db
    assert shard is not None

    async def ask() -> Any:
        first = await create_post_at_once(**wanted)
        await asyncio.to_thread(end_other_connections, shard)
        return first, await create_post_at_once(**{**wanted, "key": unique("key")})

    first, second = on_a_loop(ask)
    assert first["id"] != second["id"]
    assert posts_of(thread) == 2


def end_other_connections(shard: str) -> None:
    try:
        with connections[shard].cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND query LIKE '%%post_create%%'"
            )
            assert cursor.rowcount >= 1
    finally:
        connections[shard].close()
