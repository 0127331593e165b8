"""Forgetting what has served its purpose: answers kept for repeated requests, the fleet's old news, old sessions."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.contrib.sessions.models import Session
from django.db import connections

from forum_backend.data.control.moves.models import StatusEvent
from forum_backend.data.shard.models import IdempotencyKey
from forum_backend.domain.errors import ForumError
from forum_backend.services.forum_write import OpenForum, forum_write
from routers.fanout import fan_out
from routers.registry import registry

logger = logging.getLogger(__name__)

KEYS_KEPT = timedelta(days=7)
STATUS_KEPT = timedelta(days=90)
# What is done at a time, so that no transaction is long, and nobody waits for the others' turn.
FORUMS_A_SHARD = 50
KEYS_A_FORUM = 1_000
ROWS = 5_000
# A task is stopped after 30 s, and what was begun at the end of this may take ten more.
TIME_LIMIT_S = 15.0

# The oldest key of a forum has its lowest id: one look at an index a forum, however many keys there are.
_OLD_KEYS = """
SELECT o.forum_id FROM ownership o CROSS JOIN LATERAL (
    SELECT k.created_at FROM idempotency_key k WHERE k.forum_id = o.forum_id ORDER BY k.id LIMIT 1
) oldest WHERE o.mode = 'owner' AND oldest.created_at < %s LIMIT %s
"""


def forget_old(*, now: datetime, time_limit_s: float = TIME_LIMIT_S) -> None:
    """Delete what is past its time, a bounded number of rows of each kind in turn, until none or no time is left.

    A shard or a forum that is away waits for the next run.
    """
    deadline = time.monotonic() + time_limit_s

    def is_over() -> bool:
        return time.monotonic() >= deadline

    while _forget_some(now, is_over) and not is_over():
        pass


def _forget_some(now: datetime, is_over: Callable[[], bool]) -> int:
    """How many rows were deleted."""
    return _forget_news(now - STATUS_KEPT) + _forget_sessions(now) + _forget_all_keys(now - KEYS_KEPT, is_over)


def _forget_news(before: datetime) -> int:
    """The oldest have the lowest numbers."""
    oldest = StatusEvent.objects.order_by("number").values_list("number", "at")[:ROWS]
    old = [number for number, at in oldest if at < before]
    return StatusEvent.objects.filter(number__in=old).delete()[0]


def _forget_sessions(before: datetime) -> int:
    expired = Session.objects.filter(expire_date__lt=before).values_list("pk", flat=True)[:ROWS]
    return Session.objects.filter(pk__in=list(expired)).delete()[0]


def _forget_all_keys(before: datetime, is_over: Callable[[], bool]) -> int:
    registry.refresh()
    found = fan_out(lambda alias: _forums_with_old_keys(alias, before))
    deleted = 0
    for forum in sorted({forum for forums in found.answers.values() for forum in forums}):
        try:
            deleted += forget_keys(forum, before=before)
        except ForumError as error:
            extra = {"action": "forget", "forum": forum, "error": type(error).__name__}
            logger.info("The old keys of a forum stay until the next run", extra=extra)
        if is_over():
            break
    return deleted


def forget_keys(forum: int, *, before: datetime) -> int:
    """Delete the oldest idempotency keys of a forum, a bounded number of them; how many there were."""

    def write(opened: OpenForum) -> int:
        keys = IdempotencyKey.objects.in_forum(opened)
        oldest = list(keys.order_by("id").values_list("pk", "created_at")[:KEYS_A_FORUM])
        old = [key for key, created_at in oldest if created_at < before]
        return keys.filter(pk__in=old).delete()[0]

    return forum_write(forum, write)


def _forums_with_old_keys(alias: str, before: datetime) -> list[int]:
    """Forums of a shard that have old keys. A forum's rows that a move has left behind are not this task's."""
    with connections[alias].cursor() as cursor:
        cursor.execute(_OLD_KEYS, [before, FORUMS_A_SHARD])
        return [forum for (forum,) in cursor.fetchall()]
