"""A key takes effect once, on the shard, in the write's own transaction."""

from typing import Any

import pytest
from django.utils import timezone

from forum_backend.data.shard.models import IdempotencyKey, Post
from forum_backend.domain.errors import Closed, IdempotencyMismatch
from forum_backend.services.accounts import account_of
from forum_backend.services.posts import create_post
from forum_backend.services.threads import create_thread, update_thread
from tests.factories import make_forum, make_thread, make_user, unique


def test_a_key_is_kept_with_its_effect_or_not_at_all() -> None:
    owner = make_user()
    thread = make_thread(make_forum(owner=owner).forum_id)
    request: dict[str, Any] = {"thread_id": thread.pk, "author_id": owner.pk, "body": "x", "key": unique("key")}

    def close(is_closed: bool) -> None:
        changes = {"is_closed": is_closed}
        update_thread(thread_id=thread.pk, account=account_of(owner), changes=changes, now=timezone.now())

    close(True)
    with pytest.raises(Closed):
        create_post(**request, now=timezone.now())
    close(False)
    post = create_post(**request, now=timezone.now())
    close(True)
    assert create_post(**request, now=timezone.now()) == post  # answered before the thread was closed
    assert Post.objects.filter(thread=thread).count() == 1


def test_one_key_is_for_one_operation() -> None:
    placement, key = make_forum(), unique("key")
    author = placement.owner_id
    thread = create_thread(
        forum_id=placement.forum_id, author_id=author, title="T", body="B", key=key, now=timezone.now()
    )
    with pytest.raises(IdempotencyMismatch):
        create_post(thread_id=int(thread["id"]), author_id=author, body="B", key=key, now=timezone.now())


def test_without_a_key_nothing_is_kept() -> None:
    thread = make_thread(make_forum().forum_id)
    first, second = (
        create_post(thread_id=thread.pk, author_id=make_user().pk, body="x", now=timezone.now()) for _n in range(2)
    )
    assert first["id"] != second["id"]
    assert not IdempotencyKey.objects.in_forum(thread.forum_id).exists()
