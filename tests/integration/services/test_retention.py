"""Idempotency keys, the fleet's news and sessions are forgotten once they are old, and not before."""

from datetime import datetime, timedelta

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone

from forum_backend.data.control.moves.models import StatusEvent
from forum_backend.data.shard.models import IdempotencyKey
from forum_backend.queries.status import last_status_number
from forum_backend.services import retention
from forum_backend.services.posts import create_post
from forum_backend.services.status_events import record_status
from tests.factories import make_forum, make_thread, make_user, unique
from workers.app import celery_app


def kept_keys(forum: int) -> set[str]:
    return set(IdempotencyKey.objects.in_forum(forum).values_list("key", flat=True))


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("FORUMS_A_SHARD", "KEYS_A_FORUM", "ROWS"):
        monkeypatch.setattr(retention, bound, 1)


def with_keys(*days: int, now: datetime) -> tuple[int, list[str]]:
    """A forum, and its keys, that are so many days old."""
    author, thread = make_user(), make_thread(make_forum("shard_00").forum_id)
    keys = [unique("key") for _ in days]
    for key, age in zip(keys, days, strict=True):
        create_post(thread_id=thread.pk, author_id=author.pk, body="x", key=key, now=now - timedelta(days=age))
    return thread.forum_id, keys


def test_old_keys_are_forgotten_however_many_there_are(few_at_a_time: None) -> None:
    now = timezone.now()
    made = [with_keys(9, 8, 6, now=now) for _ in range(3)]
    retention.forget_old(now=now)
    for forum, (_oldest, _old, young) in made:
        assert kept_keys(forum) == {young}


def test_there_is_an_end_also_where_there_is_more(few_at_a_time: None) -> None:
    """What is left is for the next run: a task that takes too long is stopped in the middle of something."""
    now = timezone.now()
    retention.forget_old(now=now)
    forum, (_oldest, old) = with_keys(9, 8, now=now)
    retention.forget_old(now=now, time_limit_s=0)
    assert kept_keys(forum) == {old}
    assert celery_app.conf.task_soft_time_limit > retention.TIME_LIMIT_S + settings.STATEMENT_TIMEOUT_MS / 1000


def test_old_news_are_forgotten_however_many_there_are(few_at_a_time: None) -> None:
    now = timezone.now()
    StatusEvent.objects.all().delete()
    for age in (92, 91, 91, 1):
        record_status(type="shard.measured", data={}, now=now - timedelta(days=age))
    retention.forget_old(now=now)
    assert [event.at for event in StatusEvent.objects.all()] == [now - timedelta(days=1)]


def test_old_sessions_and_news_are_forgotten_and_the_last_number_is_not() -> None:
    now = timezone.now()
    record_status(type="shard.measured", data={}, now=now - timedelta(days=91))
    last = last_status_number()
    for key, days in (("old", -1), ("young", 1)):
        Session.objects.create(session_key=unique(key), session_data="", expire_date=now + timedelta(days=days))
    retention.forget_old(now=now)
    assert last_status_number() == last
    record_status(type="shard.measured", data={}, now=now)
    assert last_status_number() == last + 1
    StatusEvent.objects.all().delete()
    assert last_status_number() == last + 1, "who follows from here misses nothing"
    assert not Session.objects.filter(expire_date__lt=now).exists()
    assert Session.objects.filter(session_key__startswith="young").exists()
