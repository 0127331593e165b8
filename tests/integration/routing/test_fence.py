"""The fence: no write through any path lands on a shard that does not own the forum, or outside forum_write."""

import threading
import time
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction

from forum_backend.data.shard.models import Post, Thread
from forum_backend.domain.errors import ForumMoving, ForumNotEntered, NotFound, StaleInstance, TwoForums
from forum_backend.services.forum_write import OpenForum, forum_write
from routers.directory import Location, directory
from routers.refusals import sqlstate_of
from tests.factories import make_forum, make_post, make_thread


def sql(shard: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connections[shard].cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def refused_with(shard: str, statement: str, *parameters: Any) -> str | None:
    with pytest.raises(DatabaseError) as refused, transaction.atomic(using=shard):
        sql(shard, statement, *parameters)
    return sqlstate_of(refused.value)


def set_ownership(shard: str, forum: int, before: str, epoch: int, token: int, mode: str, *more: Any) -> None:
    went = ", ".join(["false", *["%s"] * len(more)]) if more else "false"
    sql(
        shard,
        f"SELECT forum_set_ownership(%s, ARRAY[%s], %s, %s, %s, %s, {went})",
        forum, before, epoch, token, mode, epoch, *more,
    )  # fmt: skip


def test_raw_sql_that_did_not_enter_is_refused() -> None:
    placement = make_forum()
    thread = make_thread(placement.forum_id)
    post = make_post(thread)
    shard = placement.shard_id
    assert refused_with(shard, "UPDATE post SET body = 'x' WHERE id = %s", post.pk) == "FM002"
    assert refused_with(shard, "DELETE FROM post WHERE id = %s", post.pk) == "FM002"
    insert = (
        "INSERT INTO thread (forum_id, title, guest_name, guest_username, link, identifier, is_closed, is_pinned, "
        "is_deleted, posts_count, created_at, last_post_at) "
        "VALUES (%s, 't', '', '', '', '', false, false, false, 0, now(), now())"
    )
    assert refused_with(shard, insert, placement.forum_id) == "FM002"
    assert Post.objects.get(pk=post.pk).body == post.body


def test_orm_writes_outside_forum_write_are_refused() -> None:
    post = make_post(make_thread(make_forum().forum_id))
    post.body = "written past the fence"
    with pytest.raises(DatabaseError) as refused:
        post.save()
    assert sqlstate_of(refused.value) == "FM002"


def test_another_forum_of_the_same_shard_is_refused() -> None:
    mine, other = make_forum("shard_00"), make_forum("shard_00")
    post = make_post(make_thread(other.forum_id))

    def write(forum: OpenForum) -> None:
        sql(forum.shard, "UPDATE post SET body = 'x' WHERE id = %s", post.pk)

    with pytest.raises(ForumNotEntered):
        forum_write(mine.forum_id, write)


def test_what_was_entered_is_forgotten_at_the_end_of_the_transaction() -> None:
    placement = make_forum("shard_00")
    thread = make_thread(placement.forum_id)
    assert refused_with("shard_00", "UPDATE thread SET title = 'x' WHERE id = %s", thread.pk) == "FM002"


@pytest.mark.parametrize("table", ["forum", "thread", "post", "vote", "outbox", "forum_event", "ownership"])
def test_truncate_is_refused(table: str) -> None:
    assert refused_with("shard_00", f"TRUNCATE {table} CASCADE") == "FM002"


def test_ownership_cannot_be_written_by_hand() -> None:
    placement = make_forum()
    update = "UPDATE ownership SET epoch = epoch + 1 WHERE forum_id = %s"
    assert refused_with(placement.shard_id, update, placement.forum_id) == "FM002"


def test_a_row_cannot_change_its_forum() -> None:
    first, second = make_forum("shard_00"), make_forum("shard_00")
    thread = make_thread(first.forum_id)
    with transaction.atomic(using="shard_00"):
        sql("shard_00", "SELECT forum_enter(%s, 1), forum_enter(%s, 1)", first.forum_id, second.forum_id)
        with pytest.raises(DatabaseError, match="cannot change its forum"), transaction.atomic(using="shard_00"):
            sql("shard_00", "UPDATE thread SET forum_id = %s WHERE id = %s", second.forum_id, thread.pk)


def test_a_snapshot_older_than_the_lock_may_not_enter() -> None:
    placement = make_forum("shard_01")
    with transaction.atomic(using="shard_01"):
        sql("shard_01", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert refused_with("shard_01", "SELECT forum_enter(%s, 1)", placement.forum_id) == "FM002"


def test_two_forums_in_one_transaction_are_refused() -> None:
    first, second = make_forum("shard_00"), make_forum("shard_00")
    with pytest.raises(TwoForums):
        forum_write(first.forum_id, lambda _forum: forum_write(second.forum_id, lambda _other: None))


def test_a_nested_write_of_the_same_forum_joins_the_transaction() -> None:
    placement = make_forum()
    opened = forum_write(placement.forum_id, lambda _: forum_write(placement.forum_id, lambda forum: forum))
    assert opened.shard == placement.shard_id


def test_an_unknown_forum_is_not_found() -> None:
    with pytest.raises(NotFound):
        forum_write(8_000_000, lambda _forum: None)


def test_an_older_token_changes_nothing() -> None:
    placement = make_forum("shard_02")
    set_ownership("shard_02", placement.forum_id, "owner", 1, 7, "fenced", "shard_00", 2)
    late = "SELECT forum_set_ownership(%s, ARRAY['fenced'], 1, 6, 'owner', 1)"
    assert refused_with("shard_02", late, placement.forum_id) == "FM003"
    set_ownership("shard_02", placement.forum_id, "fenced", 1, 8, "owner")


def test_a_writer_that_is_late_for_the_fence_follows_the_forum() -> None:
    """The directory still names the source; the tombstone there sends the writer on."""
    placement = make_forum("shard_00")
    forum = placement.forum_id
    set_ownership("shard_00", forum, "owner", 1, 1, "fenced", "shard_01", 2)
    sql("shard_01", "SELECT forum_set_ownership(%s, ARRAY['absent'], NULL, 1, 'owner', 2)", forum)
    set_ownership("shard_00", forum, "fenced", 1, 1, "departed", "shard_01", 2)
    assert directory.known(forum) == Location("shard_00", 1)
    opened = forum_write(forum, lambda open_forum: open_forum)
    assert (opened.shard, opened.epoch) == ("shard_01", 2)
    assert directory.known(forum) == Location("shard_01", 2)


def test_a_writer_waits_at_the_gate_and_goes_on_when_it_opens() -> None:
    placement = make_forum("shard_00")
    forum = placement.forum_id
    fenced, opened = threading.Event(), threading.Event()
    written: list[OpenForum] = []

    def mover() -> None:
        with transaction.atomic(using="shard_00"):
            sql("shard_00", "SELECT pg_advisory_xact_lock(forum_gate_key(%s))", forum)
            connection = connections["shard_00"].copy()
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT forum_set_ownership(%s, ARRAY['owner'], 1, 1, 'fenced', 1, false, 'shard_01', 2)", [forum]
                )
                fenced.set()
                wait_until(lambda: waiting_at_gate(connection, forum))
                cursor.execute("SELECT forum_set_ownership(%s, ARRAY['fenced'], 1, 1, 'owner', 1)", [forum])
            connection.close()
        opened.set()
        connections["shard_00"].close()

    thread = threading.Thread(target=mover)
    thread.start()
    assert fenced.wait(5)
    written.append(forum_write(forum, lambda open_forum: open_forum))
    thread.join(5)
    assert opened.is_set()
    assert written[0].shard == "shard_00"


def test_a_fence_that_stands_too_long_is_an_error_to_retry(settings: Any) -> None:
    settings.MOVE_WAIT_LIMIT_MS = 200
    placement = make_forum("shard_00")
    forum = placement.forum_id
    holder = connections["shard_00"].copy()
    with holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(forum_gate_key(%s))", [forum])
    set_ownership("shard_00", forum, "owner", 1, 1, "fenced", "shard_01", 2)
    with pytest.raises(ForumMoving):
        forum_write(forum, lambda open_forum: open_forum)
    set_ownership("shard_00", forum, "fenced", 1, 1, "owner")
    holder.close()
    assert forum_write(forum, lambda open_forum: open_forum.shard) == "shard_00"


def test_capture_logs_each_changed_row_while_it_is_on() -> None:
    placement = make_forum("shard_00")
    forum = placement.forum_id
    thread = make_thread(forum)
    sql("shard_00", "SELECT forum_set_ownership(%s, ARRAY['owner'], 1, 1, 'owner', 1, true)", forum)
    post = make_post(thread)
    forum_write(forum, lambda open_forum: Thread.objects.in_forum(open_forum).filter(pk=thread.pk).update(title="x"))
    sql("shard_00", "SELECT forum_set_ownership(%s, ARRAY['owner'], 1, 1, 'owner', 1, false)", forum)
    make_post(thread)
    logged = sql("shard_00", "SELECT table_name, row_id FROM changed_row WHERE forum_id = %s ORDER BY id", forum)
    assert logged == [("post", post.pk), ("thread", thread.pk)]


def test_a_stale_instance_is_refused() -> None:
    placement = make_forum("shard_00")
    thread = make_thread(placement.forum_id)
    directory.correct(placement.forum_id, Location("shard_01", 2))
    with pytest.raises(StaleInstance):
        thread.save()
    directory.forget(placement.forum_id)


def waiting_at_gate(connection: Any, forum: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
            "AND (classid::bigint << 32 | objid::bigint) = forum_gate_key(%s)",
            [forum],
        )
        return cursor.fetchone()[0] > 0


def wait_until(condition: Any, limit_s: float = 5.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        threading.Event().wait(0.005)
