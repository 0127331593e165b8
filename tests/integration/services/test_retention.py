"""Idempotency keys, the fleet's news and sessions are forgotten once they are old, and not before."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from forum_backend.data.shard.models import IdempotencyKey
from forum_backend.queries.status import last_status_number
from forum_backend.services import retention
from forum_backend.services.posts import create_post
from forum_backend.services.status_events import record_status
from tests.factories import make_forum, make_thread, make_user, unique


def kept_keys(forum: int) -> set[str]:
    return set(IdempotencyKey.objects.in_forum(forum).values_list("key", flat=True))


def test_old_keys_are_forgotten_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, author, thread = timezone.now(), make_user(), make_thread(make_forum().forum_id)
    days = {unique("key"): age for age in (9, 8, 6)}
    for key, age in days.items():
        create_post(thread_id=thread.pk, author_id=author.pk, body="x", key=key, now=now - timedelta(days=age))
    oldest, old, young = days
    monkeypatch.setattr(retention, "KEYS_A_FORUM", 1)
    assert kept_keys(thread.forum_id) == {oldest, old, young}
    retention.forget_old(now=now)
    assert kept_keys(thread.forum_id) == {old, young}
    retention.forget_old(now=now)
    retention.forget_old(now=now)
    assert kept_keys(thread.forum_id) == {young}


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
    assert not Session.objects.filter(expire_date__lt=now).exists()
    assert Session.objects.filter(session_key__startswith="young").exists()
