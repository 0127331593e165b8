"""What each event makes of a snapshot, without a database."""

from typing import Any

import pytest

from forum_backend.domain.events import EVENT_TYPES
from forum_backend.domain.snapshots import CHANGES, POSTS, THREADS, apply_event, needs_fresh_snapshot

AT = "2026-11-22T10:00:00Z"


def empty() -> dict[str, Any]:
    forum = {"id": "1", "name": "A forum", "threads_count": 0, "posts_count": 0, "last_post_at": None}
    return {"forum": forum, "threads": [], "posts": []}


def event(type_: str, at: str = AT, **data: Any) -> dict[str, Any]:
    return {"number": 1, "type": type_, "at": at, "data": {"forum": "1", "is_deleted": False, **data}}


def thread(number: int, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "title": f"t{number}", "created_at": AT, "last_post_at": AT, "posts_count": 7, **more}


def with_thread() -> dict[str, Any]:
    return apply_event(empty(), event("thread.created", **thread(10)))


def test_every_event_type_is_known() -> None:
    assert set(CHANGES) == set(EVENT_TYPES)


def test_counters_are_counted_not_copied() -> None:
    """A row inside an event may be newer than the event: its counters say what comes later too."""
    snapshot = with_thread()
    assert snapshot["threads"][0]["posts_count"] == 0
    snapshot = apply_event(snapshot, event("post.created", id="20", thread="10"))
    assert snapshot["threads"][0]["posts_count"] == 1
    assert snapshot["forum"] | {"name": ""} == snapshot["forum"] | {"name": "", "threads_count": 1, "posts_count": 1}
    snapshot = apply_event(snapshot, event("thread.updated", **thread(10, title="new")))
    assert (snapshot["threads"][0]["title"], snapshot["threads"][0]["posts_count"]) == ("new", 1)
    snapshot = apply_event(snapshot, event("forum.updated", id="1", name="B", posts_count=9, threads_count=9))
    assert (snapshot["forum"]["name"], snapshot["forum"]["posts_count"]) == ("B", 1)


def test_the_snapshot_given_stays_as_it_was() -> None:
    before = with_thread()
    apply_event(before, event("post.created", id="20", thread="10"))
    assert before == with_thread()


def test_lists_keep_the_newest() -> None:
    snapshot = empty()
    for number in range(1, POSTS + 11):
        snapshot = apply_event(snapshot, event("post.created", id=str(number), thread="10"))
    snapshot = apply_event(snapshot, event("post.updated", id="3", thread="10", body="too old"))
    assert [post["id"] for post in snapshot["posts"]] == [str(n) for n in range(POSTS + 10, 10, -1)]
    for number in range(1, THREADS + 3):
        snapshot = apply_event(snapshot, event("thread.created", **thread(number)))
    assert len(snapshot["threads"]) == THREADS
    assert snapshot["forum"]["threads_count"] == THREADS + 2
    assert apply_event(snapshot, event("thread.updated", **thread(1)))["threads"] == snapshot["threads"]


def test_a_deleted_thread_takes_its_posts_from_view() -> None:
    snapshot = apply_event(with_thread(), event("post.created", id="20", thread="10", body="secret"))
    gone = {"number": 3, "type": "thread.deleted", "at": AT}
    gone["data"] = {"id": "10", "forum": "1", "is_deleted": True, "removed_posts": 1}
    snapshot = apply_event(snapshot, gone)
    assert snapshot["threads"] == [{"id": "10", "forum": "1", "is_deleted": True}]
    assert snapshot["posts"] == [{"id": "20", "forum": "1", "is_deleted": True}]
    assert (snapshot["forum"]["threads_count"], snapshot["forum"]["posts_count"]) == (0, 0)


def test_a_deleted_forum_is_empty_for_good() -> None:
    snapshot = apply_event(with_thread(), event("forum.deleted", id="1"))
    assert snapshot == {"forum": None, "threads": [], "posts": []}
    assert apply_event(snapshot, event("post.created", id="20", thread="10")) == snapshot


def test_an_event_of_a_newer_version_changes_nothing() -> None:
    assert apply_event(with_thread(), event("post.pinned", id="20")) == with_thread()


def test_times_are_compared_as_times() -> None:
    snapshot = apply_event(with_thread(), event("post.created", at="2026-11-22T10:00:01Z", id="20", thread="10"))
    snapshot = apply_event(snapshot, event("post.created", at="2026-11-22T10:00:01.5Z", id="21", thread="10"))
    snapshot = apply_event(snapshot, event("post.created", at="2026-11-22T10:00:01Z", id="22", thread="10"))
    assert snapshot["threads"][0]["last_post_at"] == "2026-11-22T10:00:01.5Z"


@pytest.mark.parametrize("type_", sorted(EVENT_TYPES))
def test_only_an_import_needs_a_fresh_snapshot(type_: str) -> None:
    assert needs_fresh_snapshot(type_) == (type_ == "forum.imported")
