"""The property: snapshot + events = a fresh snapshot, for every event type and any order of writes."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forum_backend.domain.errors import Conflict, Invalid, NotFound
from forum_backend.domain.events import EVENT_TYPES
from forum_backend.domain.snapshots import apply_event
from forum_backend.queries.events import events_after
from forum_backend.queries.snapshots import forum_snapshot
from forum_backend.services import forums, posts, threads, votes
from forum_backend.services.accounts import Account
from tests.factories import make_forum, make_user, unique
from tests.integration.relay.writing import history, is_relayed, write_posts
from tests.processes import eventually, relay

WRITES = ("thread", "post", "reply", "edit", "delete_post", "vote", "retitle", "delete_thread", "rename", "look")


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    with relay("--no-consumers"):
        yield


class Board:
    """A forum with one owner who does everything, and what is there so far."""

    def __init__(self) -> None:
        owner = make_user()
        self.placement = make_forum(owner=owner)
        self.forum = self.placement.forum_id
        self.account = Account(id=owner.pk, username=owner.username, is_staff=False)
        self.threads: list[int] = []
        self.posts: list[int] = []

    def do(self, write: str, which: int) -> None:
        nothing_there = (NotFound, Conflict, Invalid, IndexError, ZeroDivisionError)
        with suppress(*nothing_there):
            getattr(self, f"_{write}")(which, timezone.now())

    def _thread(self, which: int, now: datetime) -> None:
        shape = threads.create_thread(
            forum_id=self.forum, author_id=self.account.id, title=f"T{which}", body="first", now=now
        )
        self.threads.append(int(shape["id"]))
        self.posts.append(int(shape["post"]["id"]))

    def _post(self, which: int, now: datetime, parent: int | None = None) -> None:
        thread = self.threads[which % len(self.threads)]
        shape = posts.create_post(
            thread_id=thread, author_id=self.account.id, body=f"B{which}", parent_id=parent, now=now
        )
        self.posts.append(int(shape["id"]))

    def _reply(self, which: int, now: datetime) -> None:
        self._post(which, now, self.posts[which % len(self.posts)])

    def _edit(self, which: int, now: datetime) -> None:
        post = self.posts[which % len(self.posts)]
        posts.update_post(post_id=post, account=self.account, body=f"E{which}", now=now)

    def _delete_post(self, which: int, now: datetime) -> None:
        posts.delete_post(post_id=self.posts[which % len(self.posts)], account=self.account, now=now)

    def _vote(self, which: int, now: datetime) -> None:
        post = self.posts[which % len(self.posts)]
        votes.vote(post_id=post, user_id=self.account.id + which % 3, value=which % 3 - 1, now=now)

    def _retitle(self, which: int, now: datetime) -> None:
        thread = self.threads[which % len(self.threads)]
        changes: dict[str, Any] = {"title": f"R{which}", "is_pinned": bool(which % 2)}
        threads.update_thread(thread_id=thread, account=self.account, changes=changes, now=now)

    def _delete_thread(self, which: int, now: datetime) -> None:
        threads.delete_thread(thread_id=self.threads[which % len(self.threads)], account=self.account, now=now)

    def _rename(self, which: int, now: datetime) -> None:
        forums.update_forum(forum_id=self.forum, account=self.account, changes={"name": f"N{which}"}, now=now)

    def settle(self) -> None:
        eventually(lambda: is_relayed(self.placement.shard_id, self.forum))


def advanced(number: int, snapshot: dict[str, Any], forum: int) -> tuple[int, dict[str, Any]]:
    while page := events_after(forum, number, 7):
        for event in page:
            assert event["number"] == number + 1
            number, snapshot = event["number"], apply_event(snapshot, event)
    return number, snapshot


writes = st.lists(st.tuples(st.sampled_from(WRITES), st.integers(0, 50)), max_size=30)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(writes)
def test_snapshot_and_events_make_a_fresh_snapshot(steps: list[tuple[str, int]]) -> None:
    board = Board()
    board.do("thread", 0)
    followers = [forum_snapshot(board.forum)]  # each began at another moment, perhaps before the relay had caught up
    for write, which in steps:
        if write == "look":
            followers.append(forum_snapshot(board.forum))
        else:
            board.do(write, which)
    board.settle()
    fresh = forum_snapshot(board.forum)
    for number, snapshot in followers:
        assert advanced(number, snapshot, board.forum) == fresh


def test_the_property_was_tried_with_every_event_type() -> None:
    board = Board()
    begun = forum_snapshot(board.forum)
    for n, write in enumerate((*["thread"] * 3, *["vote"] * 3, *WRITES[1:-1], "post")):
        board.do(write, n)
    board.settle()
    types = {event.type for event in history(board.placement.shard_id, board.forum)}
    assert advanced(*begun, board.forum) == forum_snapshot(board.forum)
    assert set(EVENT_TYPES) - types == {"forum.created", "forum.deleted", "forum.imported"}


def test_a_forum_from_its_creation_to_its_end() -> None:
    owner = make_user()
    account = Account(id=owner.pk, username=owner.username, is_staff=False)
    shape = forums.create_forum(owner_id=owner.pk, slug=unique("f"), name="From the first event", now=timezone.now())
    forum = int(shape["id"])
    begun = forum_snapshot(forum)
    eventually(lambda: forum_snapshot(forum), lambda found: found[0] == 1)
    assert advanced(*begun, forum) == forum_snapshot(forum)
    forums.delete_forum(forum_id=forum, account=account, now=timezone.now())
    with pytest.raises(NotFound):
        forum_snapshot(forum)


def test_long_lists_keep_their_window() -> None:
    board = Board()
    for n in range(25):
        board.do("thread", n)
    begun = forum_snapshot(board.forum)
    write_posts(board.threads[0], author=board.account.id, count=60)
    board.settle()
    fresh = forum_snapshot(board.forum)
    assert (len(fresh[1]["threads"]), len(fresh[1]["posts"])) == (20, 50)
    assert advanced(*begun, board.forum) == fresh
