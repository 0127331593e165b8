"""A request with an Idempotency-Key takes effect once: its answer is kept in the transaction of its effect."""

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from forum_backend.data.shard.models import IdempotencyKey
from forum_backend.domain.errors import IdempotencyMismatch, Invalid
from forum_backend.services.forum_write import OpenForum

KEY = re.compile(r"[\x21-\x7e]{1,200}")


def checked_key(key: str | None) -> str | None:
    """The key if it is one; ``Invalid`` otherwise."""
    if key is not None and not KEY.fullmatch(key):
        raise Invalid(
            "An Idempotency-Key is 1 to 200 visible ASCII characters",
            fields={"Idempotency-Key": "1 to 200 visible ASCII characters"},
        )
    return key


def request_digest(operation: str, **request: Any) -> bytes:
    """What makes two requests the same: the operation and everything that was asked of it."""
    return hashlib.sha256(orjson.dumps([operation, request], option=orjson.OPT_SORT_KEYS)).digest()


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
