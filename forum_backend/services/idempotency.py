"""A request with an Idempotency-Key takes effect once: its answer is kept in the transaction of its effect."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from forum_backend.data.shard.models import IdempotencyKey
from forum_backend.domain.errors import IdempotencyMismatch
from forum_backend.services.forum_write import OpenForum


def once(
    forum: OpenForum,
    *,
    user_id: int,
    key: str | None,
    digest: bytes,
    now: datetime,
    write: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """Run ``write`` in the open transaction, or return what the first request with this key was answered.

    The key's row is inserted first: a second request at the same time waits there until the first has committed, and
    then finds its answer. ``IdempotencyMismatch`` if the key came with another request.
    """
    if key is None:
        return write()
    keys = IdempotencyKey.objects.using(forum.shard)
    mine = IdempotencyKey(
        forum_id=forum.forum_id, user_id=user_id, key=key, request_digest=digest, status=0, response={}, created_at=now
    )
    keys.bulk_create([mine], ignore_conflicts=True)
    kept = keys.get(forum_id=forum.forum_id, user_id=user_id, key=key)
    if bytes(kept.request_digest) != digest:
        raise IdempotencyMismatch
    if kept.status:
        answer: dict[str, Any] = kept.response
        return answer
    answer = write()
    keys.filter(pk=kept.pk).update(status=201, response=answer)
    return answer
