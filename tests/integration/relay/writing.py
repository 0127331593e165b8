"""Writers and readers of events for the relay's tests."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections
from django.utils import timezone

from forum_backend.data.profiles.models import Profile
from forum_backend.data.shard.models import ForumCounters, ForumEvent, OutboxEvent
from forum_backend.services import posts

FOLLOWED = {"post.created": 1, "post.deleted": -1}


def write_posts(thread_id: int, *, author: int, count: int) -> list[int]:
    """Posts through the service, one transaction each; their ids."""
    try:
        return [
            int(posts.create_post(thread_id=thread_id, author_id=author, body=f"{n}", now=timezone.now())["id"])
            for n in range(count)
        ]
    finally:
        connections.close_all()


def write_from_threads(thread_ids: list[int], *, author: int, count: int) -> list[int]:
    """One writer a thread, all at once; the ids of all posts."""
    with ThreadPoolExecutor(len(thread_ids)) as pool:
        futures = [pool.submit(write_posts, thread, author=author, count=count) for thread in thread_ids]
        return [post for future in futures for post in future.result(timeout=60)]


def history(shard: str, forum: int) -> list[ForumEvent]:
    return list(ForumEvent.objects.using(shard).filter(forum_id=forum).order_by("id"))


def numbers(shard: str, forum: int) -> list[int]:
    return [event.id >> 23 for event in history(shard, forum)]


def waiting(shard: str, forum: int) -> int:
    return int(OutboxEvent.objects.using(shard).filter(forum_id=forum).count())


def counters(shard: str, forum: int) -> Any:
    return ForumCounters.objects.using(shard).filter(pk=forum).first()


def is_relayed(shard: str, forum: int) -> bool:
    return waiting(shard, forum) == 0


def created(shard: str, forum: int) -> Counter[int]:
    return Counter(event.subject_id for event in history(shard, forum) if event.type == "post.created")


def counted_posts(user: int) -> int:
    return int(Profile.objects.get(pk=user).posts_count)
