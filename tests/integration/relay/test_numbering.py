"""Numbers without a gap, whatever happens to writers and relays."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connections, transaction
from django.utils import timezone

from forum_backend.data.shard.models import Thread
from forum_backend.domain.events import ForumImported, ForumUpdated, PostCreated, ThreadCreated
from forum_backend.services import outbox
from forum_backend.services.forum_write import OpenForum, forum_write
from routers.registry import conninfo_of
from tests.factories import make_forum, make_post, make_thread, make_user
from tests.integration.relay.writing import (
    counters,
    created,
    is_relayed,
    numbers,
    waiting,
    write_from_threads,
    write_posts,
)
from tests.processes import eventually, relay
from workers.relay.shard_relay import REST_AT_GATE_S, ShardRelay


def test_many_writers_and_relays_that_are_killed() -> None:
    author = make_user()
    forums = [make_forum("shard_00"), make_forum("shard_00"), make_forum("shard_01")]
    threads = [make_thread(forum.forum_id) for forum in forums for _ in range(2)]
    ids = [thread.pk for thread in threads]
    written: list[int] = []
    for _ in range(2):
        with relay("--no-consumers") as killed, ThreadPoolExecutor(1) as pool:
            before = len(written)
            writing = pool.submit(write_from_threads, ids, author=author.pk, count=30)
            eventually(lambda: sum(len(numbers(f.shard_id, f.forum_id)) for f in forums), lambda n: n > before)  # noqa: B023
            killed.kill()
            written += writing.result(60)
    with relay("--no-consumers"):
        for forum in forums:
            eventually(lambda: is_relayed(forum.shard_id, forum.forum_id))  # noqa: B023
    for forum in forums:
        found = numbers(forum.shard_id, forum.forum_id)
        assert found == list(range(1, len(found) + 1))
        assert set(created(forum.shard_id, forum.forum_id).values()) == {1}
        assert counters(forum.shard_id, forum.forum_id).posts_count == 120
        assert counters(forum.shard_id, forum.forum_id).last_number == found[-1]
    assert len(written) == 360
    assert sum(len(created(f.shard_id, f.forum_id)) for f in forums) == 360
    for thread in threads:
        assert Thread.objects.get(pk=thread.pk).posts_count == 60


def test_two_relays_at_once_share_nothing() -> None:
    author, forum = make_user(), make_forum("shard_02")
    threads = [make_thread(forum.forum_id).pk for _ in range(4)]
    with relay("--no-consumers"), relay("--no-consumers") as second:
        write_from_threads(threads, author=author.pk, count=25)
        eventually(lambda: is_relayed("shard_02", forum.forum_id))
        second.stop()
        write_from_threads(threads, author=author.pk, count=5)
        eventually(lambda: is_relayed("shard_02", forum.forum_id))
    assert numbers("shard_02", forum.forum_id) == list(range(1, 121))
    assert counters("shard_02", forum.forum_id).posts_count == 120


def test_a_late_committer_is_numbered() -> None:
    """It got its outbox id before others that were numbered long ago."""
    author, placement = make_user(), make_forum("shard_00")
    thread = make_thread(placement.forum_id)
    post = make_post(thread)
    with relay("--no-consumers"), psycopg.connect(conninfo_of("shard_00")) as late:
        late.execute("SELECT forum_enter(%s, 1)", [placement.forum_id])
        late.execute(
            "INSERT INTO outbox (forum_id, type, subject_id, data, at) VALUES (%s, 'post.updated', %s, '{}', now())",
            [placement.forum_id, post.pk],
        )
        write_posts(thread.pk, author=author.pk, count=3)
        eventually(lambda: len(numbers("shard_00", placement.forum_id)) == 3)
        late.commit()
        eventually(lambda: numbers("shard_00", placement.forum_id), lambda found: found == [1, 2, 3, 4])


def test_a_fenced_forum_waits_and_holds_up_no_other() -> None:
    author = make_user()
    fenced, other = make_forum("shard_01"), make_forum("shard_01")
    write_posts(make_thread(fenced.forum_id).pk, author=author.pk, count=20)
    set_mode(fenced.forum_id, "owner", "fenced")
    write_posts(make_thread(other.forum_id).pk, author=author.pk, count=5)
    with relay("--no-consumers"):
        eventually(lambda: is_relayed("shard_01", other.forum_id))
        assert waiting("shard_01", fenced.forum_id) == 20
        assert numbers("shard_01", fenced.forum_id) == []
        set_mode(fenced.forum_id, "fenced", "owner")
        eventually(lambda: is_relayed("shard_01", fenced.forum_id), limit_s=3)
    assert numbers("shard_01", fenced.forum_id) == list(range(1, 21))


@pytest.mark.parametrize("key", ["forum_lock_key", "forum_gate_key"])
def test_a_forum_whose_lock_or_gate_is_held_is_left_for_the_next_round(key: str) -> None:
    author = make_user()
    locked, other = make_forum("shard_01"), make_forum("shard_01")
    write_posts(make_thread(locked.forum_id).pk, author=author.pk, count=3)
    with psycopg.connect(conninfo_of("shard_01")) as mover:
        mover.execute(f"SELECT pg_advisory_xact_lock({key}(%s))", [locked.forum_id])  # type: ignore[arg-type]
        with relay("--no-consumers"):
            write_posts(make_thread(other.forum_id).pk, author=author.pk, count=3)
            eventually(lambda: is_relayed("shard_01", other.forum_id))
            assert waiting("shard_01", locked.forum_id) == 3
            mover.rollback()
            eventually(lambda: is_relayed("shard_01", locked.forum_id), limit_s=3)


class Rests(threading.Event):
    """Whoever waits for it does not wait, but is remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return self.is_set()


def test_a_relay_rests_once_when_it_finds_a_gate_closed() -> None:
    """A fence is up for milliseconds; where one stays, the others of the shard are not held up again and again."""
    author, stop = make_user(), Rests()
    closed, other = make_forum("shard_01"), make_forum("shard_01")
    write_posts(make_thread(closed.forum_id).pk, author=author.pk, count=3)
    running = ShardRelay("shard_01", holder="resting", stop=stop)
    thread = threading.Thread(target=running.run)
    with psycopg.connect(conninfo_of("shard_01")) as mover:
        mover.execute("SELECT pg_advisory_xact_lock(forum_gate_key(%s))", [closed.forum_id])
        thread.start()
        try:
            eventually(lambda: stop.seconds == [REST_AT_GATE_S])
            for _ in range(3):
                write_posts(make_thread(other.forum_id).pk, author=author.pk, count=1)
                running.bell.set()
                eventually(lambda: is_relayed("shard_01", other.forum_id))
            assert waiting("shard_01", closed.forum_id) == 3
            mover.rollback()
            eventually(lambda: is_relayed("shard_01", closed.forum_id), limit_s=3)
        finally:
            stop.set()
            running.bell.set()
            thread.join(5)
    assert stop.seconds == [REST_AT_GATE_S]


def test_events_that_cannot_be_numbered_hold_up_only_their_forum() -> None:
    author = make_user()
    broken, other = make_forum("shard_02"), make_forum("shard_02")
    bad = make_thread(broken.forum_id)

    def spoil(forum: OpenForum) -> None:
        with connections[forum.shard].cursor() as cursor:
            cursor.execute(
                "INSERT INTO outbox (forum_id, type, subject_id, data, at) "
                "VALUES (%s, 'post.created', %s, '{\"thread_id\": \"no number\"}', now())",
                [forum.forum_id, bad.pk],
            )

    forum_write(broken.forum_id, spoil)
    write_posts(make_thread(other.forum_id).pk, author=author.pk, count=5)
    with relay("--no-consumers"):
        eventually(lambda: is_relayed("shard_02", other.forum_id))
        assert waiting("shard_02", broken.forum_id) == 1

    def mend(forum: OpenForum) -> None:
        with connections[forum.shard].cursor() as cursor:
            cursor.execute("DELETE FROM outbox WHERE forum_id = %s", [forum.forum_id])

    forum_write(broken.forum_id, mend)


def test_an_overtaken_relay_can_do_nothing() -> None:
    from workers.relay.lease import Lease, LeaseLost, take
    from workers.relay.numbering import number_waiting

    placement = make_forum("shard_00")
    now = timezone.now()
    forum_write(placement.forum_id, lambda f: outbox.record(f, ForumUpdated(subject_id=f.forum_id), now=now))
    with psycopg.connect(conninfo_of("shard_00"), autocommit=True) as connection:
        old = take_when_free(connection, "old")
        new = take(connection, holder="old")
        assert new is not None
        assert new.token > old.token
        assert take(connection, holder="another") is None
        try:
            number_waiting(connection, Lease(old.token, 0), left=())
        except LeaseLost:
            assert waiting("shard_00", placement.forum_id) == 1
        else:
            raise AssertionError("an old token numbered events")
        assert len(number_waiting(connection, new, left=()).events) >= 1
        new.release(connection)


def take_when_free(connection: "psycopg.Connection[tuple[object, ...]]", holder: str):  # type: ignore[no-untyped-def]
    from workers.relay.lease import take

    return eventually(lambda: take(connection, holder=holder))


def test_projections_of_an_import() -> None:
    placement = make_forum("shard_00")
    thread = make_thread(placement.forum_id)
    now = timezone.now()

    def write(forum: OpenForum) -> None:
        outbox.record(forum, ForumImported(subject_id=forum.forum_id, threads=3, posts=40), now=now)
        outbox.record(forum, ThreadCreated(subject_id=thread.pk), now=now)
        outbox.record(forum, PostCreated(subject_id=thread.pk, thread_id=thread.pk, author_id=None), now=now)

    forum_write(placement.forum_id, write)
    with relay("--no-consumers"):
        eventually(lambda: is_relayed("shard_00", placement.forum_id))
    found = counters("shard_00", placement.forum_id)
    assert (found.threads_count, found.posts_count, found.last_number) == (4, 41, 3)
    assert found.last_post_at == now


def test_it_stops_within_a_second_and_leaves_the_lease_free() -> None:
    with relay() as running:
        forum, author = make_forum("shard_00"), make_user()
        write_posts(make_thread(forum.forum_id).pk, author=author.pk, count=1)
        eventually(lambda: is_relayed("shard_00", forum.forum_id))
        assert running.stop() < 2  # the interpreter's own end included, on a machine that is busy
    with connections["shard_00"].cursor() as cursor:
        cursor.execute("SELECT leased_until FROM relay_lease")
        assert cursor.fetchone() == (None,)


def set_mode(forum: int, before: str, after: str) -> None:
    with transaction.atomic(using="shard_01"), connections["shard_01"].cursor() as cursor:
        cursor.execute("SELECT forum_set_ownership(%s, ARRAY[%s], 1, 1, %s, 1)", [forum, before, after])
