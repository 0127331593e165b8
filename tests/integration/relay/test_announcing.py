"""A forum that has just been activated here is announced: its last events are published again, once."""

import redis
from django.conf import settings
from django.db import connections, transaction

from tests.factories import make_forum, make_thread, make_user
from tests.integration.relay.writing import is_relayed, write_posts
from tests.processes import eventually, relay


def test_an_activated_forum_is_announced_once() -> None:
    author, forum = make_user(), make_forum("shard_00")
    write_posts(make_thread(forum.forum_id).pk, author=author.pk, count=3)
    with relay("--no-consumers"):
        eventually(lambda: is_relayed("shard_00", forum.forum_id))
        eventually(lambda: published(forum.forum_id), lambda found: found == [1, 2, 3])
        with transaction.atomic(using="shard_00"), connections["shard_00"].cursor() as cursor:
            cursor.execute(
                "SELECT forum_set_ownership(%s, ARRAY['owner'], 1, 1, 'owner', 2, false, NULL, NULL, false)",
                [forum.forum_id],
            )
        eventually(lambda: is_announced(forum.forum_id))
        assert published(forum.forum_id) == [1, 2, 3, 1, 2, 3]


def is_announced(forum: int) -> bool:
    with connections["shard_00"].cursor() as cursor:
        cursor.execute("SELECT is_announced FROM ownership WHERE forum_id = %s", [forum])
        return bool(cursor.fetchone()[0])


def published(forum: int) -> list[int]:
    entries = redis.Redis.from_url(settings.REDIS_URL).xrange("forum:events:shard_00")
    return [int(fields[b"number"]) for _, fields in entries if int(fields[b"forum"]) == forum]
