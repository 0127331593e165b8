"""A forum that has moved: reads and writes follow the shard's word, whatever this process believed."""

from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from forum_backend.data.control.directory.models import ForumPlacement
from forum_backend.data.shard.models import Forum, Post, Thread
from forum_backend.queries.events import events_after
from forum_backend.queries.forums import forum_page, list_forums
from forum_backend.queries.threads import list_threads, thread_page
from forum_backend.services.forum_write import OpenForum, forum_write
from forum_backend.services.threads import create_thread
from routers.directory import Location, directory
from tests.factories import make_forum, make_user


def set_ownership(shard: str, *arguments: Any) -> None:
    with connections[shard].cursor() as cursor:
        cursor.execute(f"SELECT forum_set_ownership({', '.join(['%s'] * len(arguments))})", arguments)


@pytest.fixture
def moved() -> ForumPlacement:
    """A forum that left shard_00 for shard_01 unnoticed: directory and memory name the old shard."""
    placement = make_forum(shard="shard_00")
    number = placement.forum_id
    set_ownership("shard_00", number, ["owner"], 1, 1, "fenced", 1, False, "shard_01", 2)
    set_ownership("shard_01", number, ["absent"], None, 1, "owner", 2)
    set_ownership("shard_00", number, ["fenced"], 1, 1, "departed", 1, False, "shard_01", 2)
    assert directory.locate(number) == Location("shard_00", 1)
    return placement


def bring_rows(placement: ForumPlacement) -> None:
    """The forum's row on its new shard, under another name than the one left behind."""

    def write(forum: OpenForum) -> None:
        Forum.objects.in_forum(forum).create(
            id=forum.forum_id, slug=placement.slug, name="Moved", owner_id=placement.owner_id, created_at=timezone.now()
        )

    forum_write(placement.forum_id, write)
    directory.forget(placement.forum_id)


def test_a_write_follows(moved: ForumPlacement) -> None:
    bring_rows(moved)
    thread = create_thread(
        forum_id=moved.forum_id, author_id=make_user().pk, title="There", body="B", now=timezone.now()
    )
    assert Thread.objects.using("shard_01").filter(pk=thread["id"]).exists()
    assert not Post.objects.using("shard_00").filter(forum_id=moved.forum_id).exists()
    assert directory.known(moved.forum_id) == Location("shard_01", 2)


def test_reads_follow(moved: ForumPlacement) -> None:
    bring_rows(moved)
    thread = create_thread(
        forum_id=moved.forum_id, author_id=make_user().pk, title="There", body="B", now=timezone.now()
    )
    reads = {
        "forum": lambda: forum_page(moved.forum_id)["name"],
        "thread": lambda: thread_page(int(thread["id"]))["title"],
        "threads": lambda: [item["title"] for item in list_threads(forum_id=moved.forum_id)["items"]],
        "events": lambda: events_after(moved.forum_id, 0),
    }
    seen = {}
    for name, read in reads.items():
        directory.forget(moved.forum_id)  # the control database still names the old shard
        seen[name] = read()
    assert seen == {"forum": "Moved", "thread": "There", "threads": ["There"], "events": []}


def test_the_list_shows_the_forum_as_its_new_shard_has_it(moved: ForumPlacement) -> None:
    bring_rows(moved)
    names = [item["name"] for item in list_forums(limit=10)["items"] if item["id"] == str(moved.forum_id)]
    assert names == ["Moved"]
