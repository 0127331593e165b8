"""Users and forums for tests, each with a name of its own."""

import itertools
import uuid
from typing import Any

from django.db import connections
from django.utils import timezone

from forum_backend.data.control.accounts.models import User
from forum_backend.data.control.directory.models import ForumPlacement
from forum_backend.data.profiles.models import Profile
from forum_backend.data.shard.models import Forum, Post, Thread
from forum_backend.services.forum_write import OpenForum, forum_write
from routers.registry import registry

_numbers = itertools.count()


def unique(prefix: str) -> str:
    """A name that no other test and no other run has."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def make_user(*, is_staff: bool = False, username: str | None = None) -> User:
    """An active account with a profile and without a usable password."""
    user = User(username=username or unique("user"), is_staff=is_staff, joined_at=timezone.now())
    user.set_unusable_password()
    user.save()
    Profile.objects.create(user_id=user.pk, username=user.username, joined_at=user.joined_at)
    return user


def make_forum(shard: str | None = None, owner: User | None = None) -> ForumPlacement:
    """An empty forum; the shards take turns unless one is named."""
    aliases = registry.aliases()
    shard = shard or aliases[next(_numbers) % len(aliases)]
    slug = unique("forum")
    placement = ForumPlacement.objects.create(slug=slug, shard_id=shard, owner=owner or make_user(), is_ready=True)
    with connections[shard].cursor() as cursor:
        cursor.execute("SELECT forum_set_ownership(%s, ARRAY['absent'], NULL, 0, 'owner', 1)", [placement.forum_id])

    def write(forum: OpenForum) -> None:
        Forum.objects.in_forum(forum).create(
            id=forum.forum_id, slug=slug, name=slug, owner_id=placement.owner_id, created_at=timezone.now()
        )

    forum_write(placement.forum_id, write)
    return placement


def make_thread(forum: int, *, title: str = "A thread", author: User | None = None) -> Thread:
    """A thread without posts."""
    now = timezone.now()
    return forum_write(
        forum,
        lambda open_forum: Thread.objects.in_forum(open_forum).create(
            title=title, author_id=author.pk if author else None, created_at=now, last_post_at=now
        ),
    )


def make_post(thread: Thread, *, body: str = "A post", parent: Post | None = None, **fields: Any) -> Post:
    """A post in a thread, without an event."""
    return forum_write(
        thread.forum_id,
        lambda forum: Post.objects.in_forum(forum).create(
            thread=thread, parent=parent, body=body, html=f"<p>{body}</p>", created_at=timezone.now(), **fields
        ),
    )
