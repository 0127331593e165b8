"""A follower's view of a forum: a snapshot, and what each event makes of it. Snapshot + events = a fresh snapshot.

Rows inside an event are as they were when it was read, perhaps newer than the event; counters are not: they are what
the events up to a number add up to. So rows are taken over from events, and counters are counted here.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

type Snapshot = dict[str, Any]
type Row = dict[str, Any]

THREADS, POSTS = 20, 50
FACTS = frozenset({"delta", "imported_threads", "imported_posts", "removed_posts"})
FORUM_COUNTERS = ("threads_count", "posts_count", "last_post_at")
THREAD_COUNTERS = ("posts_count", "last_post_at")


def apply_event(snapshot: Snapshot, event: dict[str, Any]) -> Snapshot:
    """The snapshot after an event; the one given stays as it was. An event of an unknown type changes nothing."""
    change = CHANGES.get(event["type"])
    return snapshot if change is None or snapshot["forum"] is None else change(snapshot, event)


def needs_fresh_snapshot(event_type: str) -> bool:
    """Whether an event stands for more rows than it carries, so that followers must load the forum anew."""
    return event_type == "forum.imported"


def _forum_changed(snapshot: Snapshot, event: Row) -> Snapshot:
    row = _row(event)
    if row.get("is_deleted"):
        return snapshot  # deleted since; the event that says so follows
    kept = {name: snapshot["forum"][name] for name in FORUM_COUNTERS}
    return {**snapshot, "forum": {**row, **kept}}


def _forum_deleted(_snapshot: Snapshot, _event: Row) -> Snapshot:
    return {"forum": None, "threads": [], "posts": []}


def _forum_imported(snapshot: Snapshot, event: Row) -> Snapshot:
    data = event["data"]
    return _count(snapshot, threads=data.get("imported_threads", 0), posts=data.get("imported_posts", 0))


def _thread_created(snapshot: Snapshot, event: Row) -> Snapshot:
    row = _row(event)
    if not row.get("is_deleted"):
        row |= {"posts_count": 0, "last_post_at": row["created_at"]}
    return _count(_put_thread(snapshot, row), threads=1)


def _thread_updated(snapshot: Snapshot, event: Row) -> Snapshot:
    row = _row(event)
    is_known = any(thread["id"] == row["id"] for thread in snapshot["threads"])
    return _put_thread(snapshot, row) if is_known else snapshot


def _thread_deleted(snapshot: Snapshot, event: Row) -> Snapshot:
    row = _row(event)
    posts = [_gone(post) if post.get("thread") == row["id"] else post for post in snapshot["posts"]]
    left = _put_thread({**snapshot, "posts": posts}, row)
    return _count(left, threads=-1, posts=-event["data"].get("removed_posts", 0))


def _post_created(snapshot: Snapshot, event: Row) -> Snapshot:
    row = _row(event)
    shown = {**snapshot, "posts": _put(snapshot["posts"], row, limit=POSTS)}
    return _count_in_thread(_count(shown, posts=1, at=event["at"]), row.get("thread"), posts=1, at=event["at"])


def _post_changed(snapshot: Snapshot, event: Row) -> Snapshot:
    return {**snapshot, "posts": _put(snapshot["posts"], _row(event), limit=POSTS)}


def _post_deleted(snapshot: Snapshot, event: Row) -> Snapshot:
    changed = _post_changed(snapshot, event)
    return _count_in_thread(_count(changed, posts=-1), event["data"].get("thread"), posts=-1)


CHANGES: dict[str, Callable[[Snapshot, Row], Snapshot]] = {
    "forum.created": _forum_changed,
    "forum.updated": _forum_changed,
    "forum.deleted": _forum_deleted,
    "forum.imported": _forum_imported,
    "thread.created": _thread_created,
    "thread.updated": _thread_updated,
    "thread.deleted": _thread_deleted,
    "post.created": _post_created,
    "post.updated": _post_changed,
    "post.voted": _post_changed,
    "post.deleted": _post_deleted,
}


def _row(event: Row) -> Row:
    return {name: value for name, value in event["data"].items() if name not in FACTS}


def _gone(row: Row) -> Row:
    return {"id": row["id"], "forum": row["forum"], "is_deleted": True}


def _put(rows: list[Row], row: Row, *, limit: int) -> list[Row]:
    """The newest rows by id, with this one in its place; one older than all of a full list is not among them."""
    others = [other for other in rows if other["id"] != row["id"]]
    return sorted([*others, row], key=lambda any_row: int(any_row["id"]), reverse=True)[:limit]


def _put_thread(snapshot: Snapshot, row: Row) -> Snapshot:
    """A thread's row with the counters it had here."""
    known: Row = next((thread for thread in snapshot["threads"] if thread["id"] == row["id"]), {})
    if not row.get("is_deleted"):
        row = {**row, **{name: known[name] for name in THREAD_COUNTERS if name in known}}
    return {**snapshot, "threads": _put(snapshot["threads"], row, limit=THREADS)}


def _count(snapshot: Snapshot, *, threads: int = 0, posts: int = 0, at: str | None = None) -> Snapshot:
    forum = snapshot["forum"]
    counted = {
        "threads_count": forum["threads_count"] + threads,
        "posts_count": forum["posts_count"] + posts,
        "last_post_at": _later(forum["last_post_at"], at),
    }
    return {**snapshot, "forum": {**forum, **counted}}


def _count_in_thread(snapshot: Snapshot, thread_id: str | None, *, posts: int, at: str | None = None) -> Snapshot:
    def counted(thread: Row) -> Row:
        if thread["id"] != thread_id or "posts_count" not in thread:
            return thread
        last_post_at = _later(thread["last_post_at"], at)
        return {**thread, "posts_count": thread["posts_count"] + posts, "last_post_at": last_post_at}

    return {**snapshot, "threads": [counted(thread) for thread in snapshot["threads"]]}


def _later(first: str | None, second: str | None) -> str | None:
    if first is None or second is None:
        return first or second
    return max(first, second, key=datetime.fromisoformat)
