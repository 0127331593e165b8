"""Loads of forums: counted by the relay and by readers, measured a page at a time, averaged over time."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connections
from django.utils import timezone

from forum_backend.data.control.directory.models import ForumLoad, Shard
from forum_backend.domain.ids import forum_of
from forum_backend.queries.forums import forum_page
from forum_backend.queries.fresh_pages import PageKey, fresh_page, read_page
from forum_backend.queries.reads import ReadCounts, read_counts
from forum_backend.services import loads, moves
from forum_backend.services.loads import ReadFlusher, estimated_rows, flush_reads, measure_loads
from forum_backend.services.votes import vote
from routers.registry import conninfo_of
from tests.factories import make_forum, make_post, make_thread, make_user
from tests.integration.moves.driving import content_on, populated
from tests.integration.relay.writing import is_relayed, write_posts
from tests.processes import eventually, relay


def load_of(forum: int) -> ForumLoad:
    return ForumLoad.objects.get(pk=forum)


def test_writes_a_second_are_what_the_relay_counted() -> None:
    forum = make_forum("shard_01").forum_id
    thread = make_thread(forum)
    author = make_user().pk
    start = timezone.now()
    with relay():
        write_posts(thread.pk, author=author, count=2)
        eventually(lambda: is_relayed("shard_01", forum))
        assert measure_loads(now=start) == []
        first = load_of(forum)
        assert (first.writes_s, first.last_number, first.measured_at) == (0, 2, start)
        assert first.rows_count >= 2 + 2
        assert first.bytes > 0
        write_posts(thread.pk, author=author, count=30)
        eventually(lambda: is_relayed("shard_01", forum))
    measure_loads(now=start + timedelta(seconds=loads.MEMORY_S))
    after = load_of(forum)
    assert after.last_number == 32
    assert after.writes_s == pytest.approx(30 / loads.MEMORY_S * 0.632, rel=0.01)
    assert after.rows_count > first.rows_count
    measure_loads(now=start + timedelta(seconds=11 * loads.MEMORY_S))
    assert load_of(forum).writes_s < after.writes_s / 1_000


def test_rows_are_estimated_from_what_the_relay_counted() -> None:
    """Not far too low, whether they came one by one or with an import; what a move has copied corrects it."""
    forum = make_forum("shard_01").forum_id
    thread = make_thread(forum)
    assert estimated_rows("shard_01", forum) == 0, "no counters yet"
    with relay():
        for post in write_posts(thread.pk, author=make_user().pk, count=20):
            vote(post_id=post, user_id=make_user().pk, value=1, now=timezone.now())
        eventually(lambda: is_relayed("shard_01", forum))
    exact = sum(table.rows for table in content_on("shard_01", forum).values())
    assert estimated_rows("shard_01", forum) == pytest.approx(exact, rel=0.1)
    set_counters(forum, shard="shard_01", last_number=1, threads_count=1_000, posts_count=50_000)
    assert estimated_rows("shard_01", forum) == 2 + 1 + 51_000


def test_who_asks_for_a_move_does_not_wait_until_all_rows_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a forum that is large enough it would never be asked for: counting takes longer than a statement may."""
    place = populated("shard_00")
    monkeypatch.setattr(moves, "refuse_what_stops_at_once", lambda **_shards: None)  # it looks at tables
    with psycopg.connect(conninfo_of("shard_00")) as holder:
        holder.execute("LOCK TABLE post IN ACCESS EXCLUSIVE MODE")  # who reads a row of it waits
        assert place.plan("shard_01").state == "planned"


def test_each_read_is_counted_once_and_adds_up_over_processes() -> None:
    placement = make_forum("shard_00")
    forum = placement.forum_id
    flush_reads()
    for _ in range(3):
        forum_page(forum)
    flush_reads()
    assert load_of(forum).reads_count == 3
    read_counts.count(forum, 4)  # as another process would have
    flush_reads()
    assert load_of(forum).reads_count == 7
    assert flush_reads() == 0


async def test_a_page_that_is_confirmed_is_counted_too() -> None:
    def prepared() -> tuple[int, PageKey]:
        post = make_post(make_thread(make_forum("shard_00").forum_id))
        key = PageKey(post.thread_id, "oldest", None, 10)
        read_page(key)
        return forum_of(post.pk), key

    forum, key = await asyncio.to_thread(prepared)
    read_counts.take()
    assert await fresh_page(key) is not None
    assert read_counts.take() == {forum: 1}


def test_reads_a_second_come_of_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    forum = counted_forum("shard_02")
    now = timezone.now()
    measure_loads(now=now)
    read_counts.count(forum, 600)
    flush_reads()
    measure_loads(now=now + timedelta(seconds=60))
    assert load_of(forum).reads_s == pytest.approx(10 * (1 - 2.718281828 ** (-60 / loads.MEMORY_S)), rel=0.01)


def counted_forum(shard: str) -> int:
    """A forum with counters, as the relay makes them at its first event."""
    forum = make_forum(shard).forum_id
    set_counters(forum, shard=shard, last_number=5, threads_count=1, posts_count=3)
    return forum


def set_counters(forum: int, *, shard: str, last_number: int, threads_count: int, posts_count: int) -> None:
    with connections[shard].cursor() as cursor:
        cursor.execute(
            "BEGIN; SELECT forum_enter(%s, 1); INSERT INTO forum_counters AS c (forum_id, last_number, threads_count,"
            " posts_count) VALUES (%s, %s, %s, %s) ON CONFLICT (forum_id) DO UPDATE SET last_number ="
            " excluded.last_number, threads_count = excluded.threads_count, posts_count = excluded.posts_count; COMMIT",
            [forum, forum, last_number, threads_count, posts_count],
        )


def test_a_run_measures_a_page_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = [counted_forum("shard_02") for _ in range(5)]
    Shard.objects.filter(pk="shard_02").update(forums_measured_to=mine[0] - 1)
    monkeypatch.setattr(loads, "FORUMS_A_RUN", 2)
    for expected in (mine[:2], mine[:4], mine):
        measure_loads(now=timezone.now())
        assert list(ForumLoad.objects.filter(pk__in=mine).values_list("pk", flat=True).order_by("pk")) == expected
    assert Shard.objects.get(pk="shard_02").forums_measured_to == 0  # the last page was not full: it begins anew


def test_a_dead_shard_is_left_out(kill: Any) -> None:
    forum = counted_forum("shard_02")
    kill("shard_02")
    assert measure_loads(now=timezone.now()) == ["shard_02"]
    assert not ForumLoad.objects.filter(pk=forum).exists()


def test_counts_that_could_not_be_stored_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    forum = make_forum("shard_00").forum_id
    flush_reads()
    read_counts.count(forum, 2)
    monkeypatch.setattr(loads, "_ADD_READS", "SELECT nothing FROM nowhere")
    with pytest.raises(DatabaseError):
        flush_reads()
    monkeypatch.undo()
    assert flush_reads() == 1
    assert load_of(forum).reads_count == 2


def test_the_thread_flushes_by_itself() -> None:
    forum = make_forum("shard_00").forum_id
    flusher = ReadFlusher(every_s=0.01)
    flusher.start()
    try:
        read_counts.count(forum)
        eventually(lambda: ForumLoad.objects.filter(pk=forum, reads_count=1).exists())
    finally:
        flusher.stop()


def test_counting_is_bounded_and_costs_less_than_a_microsecond() -> None:
    counts = ReadCounts(most=2)
    for forum in (1, 2, 3, 1):
        counts.count(forum)
    assert counts.take() == {1: 2, 2: 1}
    number = 100_000
    began = time.thread_time()  # others may have the processor meanwhile
    for _ in range(number):
        counts.count(7)
    assert (time.thread_time() - began) / number < 1e-6
    assert counts.take() == {7: number}


def test_time_that_stands_still_changes_no_rate() -> None:
    forum = counted_forum("shard_00")
    now: datetime = timezone.now()
    measure_loads(now=now)
    read_counts.count(forum, 50)
    flush_reads()
    measure_loads(now=now)
    assert load_of(forum).reads_s == 0
