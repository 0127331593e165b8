"""Consumers: every event takes effect exactly once, also when Redis has lost everything or is away."""

import redis
from django.conf import settings
from django.utils import timezone

from forum_backend.data.profiles.models import ConsumerCursor, Profile
from forum_backend.embedded import EmbeddedServers
from forum_backend.queries.history import history_after
from forum_backend.services import accounts, posts, votes
from forum_backend.services.accounts import Account
from tests.factories import make_forum, make_thread, make_user, unique
from tests.integration.relay.writing import counted_posts, is_relayed, numbers, write_from_threads, write_posts
from tests.processes import eventually, relay
from workers.relay.consumers import apply_events, catch_up, cursors_of
from workers.relay.profile_counters import ProfileCounters


def test_a_registration_becomes_a_profile() -> None:
    with relay():
        user = accounts.register(username=unique("reg"), password="a long enough one", now=timezone.now())
        eventually(lambda: Profile.objects.filter(pk=user.pk, username=user.username).exists())


def test_posts_and_votes_are_counted() -> None:
    author, voter = make_user(), make_user()
    thread = make_thread(make_forum().forum_id)
    written = write_posts(thread.pk, author=author.pk, count=5)
    account = Account(id=author.pk, username=author.username, is_staff=False)
    posts.delete_post(post_id=written[0], account=account, now=timezone.now())
    votes.vote(post_id=written[1], user_id=voter.pk, value=1, now=timezone.now())
    votes.vote(post_id=written[1], user_id=voter.pk, value=-1, now=timezone.now())
    votes.vote(post_id=written[2], user_id=voter.pk, value=1, now=timezone.now())
    with relay():
        eventually(lambda: counted(author.pk), lambda found: found == (4, 0))


def test_an_author_without_a_profile_yet_is_counted() -> None:
    author = make_user()
    Profile.objects.filter(pk=author.pk).delete()
    write_posts(make_thread(make_forum().forum_id).pk, author=author.pk, count=3)
    with relay():
        eventually(lambda: Profile.objects.filter(pk=author.pk, posts_count=3).exists())


def test_redis_that_lost_everything_costs_nothing(servers: EmbeddedServers) -> None:
    author, forum = make_user(), make_forum("shard_00")
    threads = [make_thread(forum.forum_id).pk for _ in range(2)]
    with relay():
        for _ in range(3):
            write_from_threads(threads, author=author.pk, count=10)
            redis.Redis.from_url(settings.REDIS_URL).flushall()
        eventually(lambda: counted_posts(author.pk), lambda found: found == 60)
        servers.kill_server("redis")
        write_from_threads(threads, author=author.pk, count=10)
        eventually(lambda: is_relayed("shard_00", forum.forum_id))  # numbering does not wait for Redis
        servers.start_server("redis")
        write_from_threads(threads, author=author.pk, count=10)
        eventually(lambda: counted_posts(author.pk), lambda found: found >= 100)
        eventually(lambda: published(forum.forum_id), lambda found: 100 in found)
    with relay():  # a second start looks at everything again
        write_posts(threads[0], author=author.pk, count=1)
        eventually(lambda: counted_posts(author.pk), lambda found: found >= 101)
    assert counted_posts(author.pk) == 101
    assert numbers("shard_00", forum.forum_id) == list(range(1, 102))


def test_events_that_come_twice_or_with_a_gap() -> None:
    author, forum = make_user(), make_forum()
    write_posts(make_thread(forum.forum_id).pk, author=author.pk, count=6)
    with relay("--no-consumers"):
        eventually(lambda: is_relayed(forum.shard_id, forum.forum_id))
    consumer, events = ProfileCounters(), history_after(forum.forum_id, after=0, limit=100)
    assert apply_events(consumer, events[:2] + events[:2]) == set()
    assert apply_events(consumer, events[1:3]) == set()
    assert apply_events(consumer, events[4:]) == {forum.forum_id}
    assert cursors_of(consumer, [forum.forum_id]) == {forum.forum_id: 3}
    assert counted_posts(author.pk) == 3
    for _ in range(2):
        catch_up(consumer, forum.forum_id, is_stopping=lambda: False)
    assert counted_posts(author.pk) == 6
    assert ConsumerCursor.objects.get(consumer=consumer.name, forum_id=forum.forum_id).number == 6


def test_a_dead_shard_does_not_hold_up_the_others(servers: EmbeddedServers) -> None:
    author, alive = make_user(), make_forum("shard_00")
    dead = make_forum("shard_02")
    thread, lost = make_thread(alive.forum_id).pk, make_thread(dead.forum_id).pk
    with relay():
        write_posts(lost, author=author.pk, count=2)
        eventually(lambda: counted_posts(author.pk), lambda found: found == 2)
        servers.kill_server("shard_02")
        try:
            write_posts(thread, author=author.pk, count=5)
            eventually(lambda: counted_posts(author.pk), lambda found: found == 7, limit_s=10)
        finally:
            servers.start_server("shard_02")
        eventually(lambda: can_write(lost, author.pk))
        eventually(lambda: counted_posts(author.pk), lambda found: found >= 8)


def can_write(thread: int, author: int) -> bool:
    from forum_backend.domain.errors import ShardUnavailable

    try:
        write_posts(thread, author=author, count=1)
    except ShardUnavailable:
        return False
    return True


def counted(user: int) -> tuple[int, int]:
    profile = Profile.objects.get(pk=user)
    return profile.posts_count, profile.points


def published(forum: int) -> list[int]:
    client = redis.Redis.from_url(settings.REDIS_URL)
    entries = client.xrange("forum:events:shard_00")
    return [int(fields[b"number"]) for _, fields in entries if int(fields[b"forum"]) == forum]
