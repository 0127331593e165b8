"""`/ws/forums/{id}`: a snapshot or what was missed first, then every number once and in order, come what may."""

import asyncio
import socket
from asyncio import to_thread as aside
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from forum_backend.domain.events import ForumImported, ForumUpdated
from forum_backend.embedded import EmbeddedServers
from forum_backend.realtime.sockets import MOST_REPLAYED
from forum_backend.services import forums, outbox, posts
from forum_backend.services.accounts import Account
from forum_backend.services.forum_write import OpenForum, forum_write
from tests.factories import make_forum, make_thread, make_user
from tests.integration.realtime.follower import follow
from tests.integration.relay.writing import is_relayed, write_from_threads, write_posts
from tests.processes import Relay, eventually, relay, web


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with web("tests.integration.realtime.sockets_only:application") as port:
        yield port


@pytest.fixture(scope="module")
def running() -> Iterator[Relay]:
    with relay() as process:
        yield process


async def test_a_snapshot_then_live(port: int, running: Relay) -> None:
    author, forum = await aside(make_user), await aside(make_forum)
    thread = await aside(make_thread, forum.forum_id)
    await aside(write_posts, thread.pk, author=author.pk, count=3)
    await aside(eventually, lambda: is_relayed(forum.shard_id, forum.forum_id))
    async with follow(port, f"/ws/forums/{forum.forum_id}") as follower:
        snapshot = await follower.frame()
        assert (snapshot["type"], snapshot["number"]) == ("snapshot", 3)
        assert snapshot["data"]["forum"]["posts_count"] == 3
        assert [post["body"] for post in snapshot["data"]["posts"]] == ["2", "1", "0"]
        assert snapshot["data"]["threads"][0]["id"] == str(thread.pk)
        await aside(write_posts, thread.pk, author=author.pk, count=5)
        assert await follower.until(8) == [4, 5, 6, 7, 8]
        assert follower.frames[-1]["data"]["author"]["username"] == author.username


async def test_resume_misses_nothing_and_repeats_nothing(port: int, running: Relay) -> None:
    author, forum = await aside(make_user), await aside(make_forum)
    thread = await aside(make_thread, forum.forum_id)
    await aside(write_posts, thread.pk, author=author.pk, count=250)
    await aside(eventually, lambda: is_relayed(forum.shard_id, forum.forum_id))
    async with follow(port, f"/ws/forums/{forum.forum_id}?after=10") as follower:
        writing = asyncio.create_task(aside(write_posts, thread.pk, author=author.pk, count=30))
        assert await follower.until(280) == list(range(11, 281))
        await writing


async def test_many_join_while_many_write(port: int, running: Relay) -> None:
    author, forum = await aside(make_user), await aside(make_forum)
    threads = [(await aside(make_thread, forum.forum_id)).pk for _ in range(4)]

    async def one(delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        async with follow(port, f"/ws/forums/{forum.forum_id}") as follower:
            first = (await follower.frame())["number"]
            if first < 120:
                assert await follower.until(120) == list(range(first + 1, 121))

    writing = asyncio.create_task(aside(write_from_threads, threads, author=author.pk, count=30))
    await asyncio.gather(*(one(n * 0.02) for n in range(30)))
    await writing


async def test_gap_free_while_relays_are_killed(port: int, running: Relay) -> None:
    """Two more relays come and go; with the module's own one there is always somebody to take over."""
    author, forum = await aside(make_user), await aside(make_forum)
    threads = [(await aside(make_thread, forum.forum_id)).pk for _ in range(2)]
    async with follow(port, f"/ws/forums/{forum.forum_id}?after=0") as follower:
        for n in range(2):
            writing = asyncio.create_task(aside(write_from_threads, threads, author=author.pk, count=20))
            other = await aside(Relay)
            await follower.until(n * 40 + 5)
            other.kill()
            await writing
        assert await follower.until(80) == list(range(1, 81))


async def test_redis_may_forget_and_die(port: int, running: Relay, servers: EmbeddedServers) -> None:
    author, forum = await aside(make_user), await aside(make_forum)
    thread = (await aside(make_thread, forum.forum_id)).pk
    async with follow(port, f"/ws/forums/{forum.forum_id}?after=0") as follower:
        await aside(write_posts, thread, author=author.pk, count=5)
        redis.Redis.from_url(settings.REDIS_URL).flushall()
        await aside(write_posts, thread, author=author.pk, count=5)
        await follower.until(10)
        await aside(servers.kill_server, "redis")
        await aside(write_posts, thread, author=author.pk, count=5)
        assert await follower.until(15) == list(range(1, 16))  # by polling
        await aside(servers.start_server, "redis")
        await aside(write_posts, thread, author=author.pk, count=5)
        assert await follower.until(20) == list(range(1, 21))


async def test_a_slow_client_is_dropped_and_slows_nobody(port: int, running: Relay) -> None:
    author, forum = await aside(make_user), await aside(make_forum)
    thread = (await aside(make_thread, forum.forum_id)).pk
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # before it connects, else the window is open already
    lazy.connect(("127.0.0.1", port))
    path = f"/ws/forums/{forum.forum_id}?after=0"
    body = "x" * 9_500

    def write() -> None:
        for _ in range(800):
            posts.create_post(thread_id=thread, author_id=author.pk, body=body, now=timezone.now())

    async with (
        follow(port, path, sock=lazy, max_queue=1, max_size=None, compression=None) as slow,
        follow(port, path, max_size=None) as quick,
    ):
        writing = asyncio.create_task(aside(write))
        assert await quick.until(800) == list(range(1, 801))
        await writing
        assert await slow.close_code() == 4008
    missed = slow.numbers()[-1]
    assert missed < 800
    assert slow.numbers() == list(range(1, missed + 1))
    async with follow(port, f"/ws/forums/{forum.forum_id}?after={missed}", max_size=None) as again:
        assert await again.until(800) == list(range(missed + 1, 801))


async def test_an_import_brings_a_fresh_snapshot(port: int, running: Relay) -> None:
    forum = await aside(make_forum)
    async with follow(port, f"/ws/forums/{forum.forum_id}") as follower:
        await follower.frame()
        thread = await aside(make_thread, forum.forum_id)
        event = ForumImported(subject_id=forum.forum_id, threads=1, posts=0)
        await aside(forum_write, forum.forum_id, lambda opened: outbox.record(opened, event, now=timezone.now()))
        assert (await follower.frame())["type"] == "forum.imported"
        fresh = await follower.frame()
        assert (fresh["type"], fresh["number"]) == ("snapshot", 1)
        assert [row["id"] for row in fresh["data"]["threads"]] == [str(thread.pk)]


async def test_after_the_last_number(port: int, running: Relay) -> None:
    forum = await aside(make_forum)
    async with follow(port, f"/ws/forums/{forum.forum_id}?after=99") as follower:
        assert await follower.frame() == {"type": "error", "code": "ahead"}
        assert (await follower.frame())["type"] == "snapshot"


async def test_far_behind_begins_with_a_snapshot(port: int, running: Relay) -> None:
    forum = await aside(make_forum)
    last = MOST_REPLAYED + 1

    def write(opened: OpenForum) -> None:
        for _ in range(last):
            outbox.record(opened, ForumUpdated(subject_id=forum.forum_id), now=timezone.now())

    await aside(forum_write, forum.forum_id, write)
    await aside(eventually, lambda: is_relayed(forum.shard_id, forum.forum_id))
    async with follow(port, f"/ws/forums/{forum.forum_id}?after=0") as follower:
        assert await follower.frame() == {"type": "error", "code": "behind"}
        snapshot = await follower.frame()
        assert (snapshot["type"], snapshot["number"]) == ("snapshot", last)
    async with follow(port, f"/ws/forums/{forum.forum_id}?after=1") as follower:
        assert await follower.until(last) == list(range(2, last + 1))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/ws/forums/8000000", 4004),
        ("/ws/forums/none", 4000),
        ("/ws/forums/0", 4000),
        ("/ws/forums/1?after=-1", 4000),
        ("/ws/forums/1?after=x", 4000),
        ("/ws/status", 4401),
    ],
)
async def test_what_is_refused(port: int, path: str, code: int) -> None:
    async with follow(port, path) as follower:
        assert await follower.close_code() == code


async def test_a_deleted_forum_ends(port: int, running: Relay) -> None:
    owner = await aside(make_user)
    forum = await aside(make_forum, owner=owner)
    account = Account(id=owner.pk, username=owner.username, is_staff=False)
    async with follow(port, f"/ws/forums/{forum.forum_id}") as follower:
        await follower.frame()
        await aside(forums.delete_forum, forum_id=forum.forum_id, account=account, now=timezone.now())
        assert await follower.close_code() == 4004


async def test_a_dead_shard_is_said_and_the_client_may_come_back(
    port: int, running: Relay, servers: EmbeddedServers
) -> None:
    forum = await aside(make_forum, "shard_02")
    await aside(servers.kill_server, "shard_02")
    try:
        async with follow(port, f"/ws/forums/{forum.forum_id}") as follower:
            assert await follower.close_code() == 4003
            assert follower.frames == [{"type": "error", "code": "unavailable"}]
    finally:
        await aside(servers.start_server, "shard_02")
    async with asyncio.timeout(10):
        while await first_type(port, forum.forum_id) != "snapshot":  # each try waits for the server's answer
            pass


async def first_type(port: int, forum: int) -> str:
    async with follow(port, f"/ws/forums/{forum}") as follower:
        return str((await follower.frame())["type"])


async def test_a_talkative_client_is_closed(port: int, running: Relay) -> None:
    forum = await aside(make_forum)
    async with follow(port, f"/ws/forums/{forum.forum_id}") as follower:
        await follower.frame()
        await follower.socket.send("hello")
        await follower.socket.send("x" * 5000)
        assert await follower.close_code() == 1008
