"""Forgetting what has served its purpose: answers kept for repeated requests, the fleet's old news, old sessions."""

import logging
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
# What one run does at most; the next one goes on.
FORUMS_A_SHARD = 50
KEYS_A_FORUM = 1_000
ROWS = 5_000


def forget_old(*, now: datetime) -> None:
    """Delete a bounded number of rows that are past their time. A shard or a forum that is away waits for its turn."""
    StatusEvent.objects.filter(number__in=_old_status_numbers(now)).delete()
    expired = Session.objects.filter(expire_date__lt=now).values_list("pk", flat=True)[:ROWS]
    Session.objects.filter(pk__in=list(expired)).delete()
    registry.refresh()
    found = fan_out(lambda alias: _forums_with_old_keys(alias, now - KEYS_KEPT))
    for forum in sorted({forum for forums in found.answers.values() for forum in forums}):
        try:
            forget_keys(forum, before=now - KEYS_KEPT)
        except ForumError as error:
            extra = {"action": "forget", "forum": forum, "error": type(error).__name__}
            logger.info("The old keys of a forum stay until the next run", extra=extra)


def forget_keys(forum: int, *, before: datetime) -> None:
    """Delete the oldest idempotency keys of a forum, a bounded number of them."""

    def write(opened: OpenForum) -> None:
        keys = IdempotencyKey.objects.in_forum(opened).filter(created_at__lt=before)
        oldest = list(keys.order_by("id").values_list("pk", flat=True)[:KEYS_A_FORUM])
        IdempotencyKey.objects.in_forum(opened).filter(pk__in=oldest).delete()

    forum_write(forum, write)


def _old_status_numbers(now: datetime) -> list[int]:
    """The newest event always stays: the last number given is read from it."""
    old = StatusEvent.objects.filter(at__lt=now - STATUS_KEPT).order_by("number")
    newest = StatusEvent.objects.order_by("-number").values_list("number", flat=True).first()
    return [number for number in old.values_list("number", flat=True)[:ROWS] if number != newest]


def _forums_with_old_keys(alias: str, before: datetime) -> list[int]:
    """Forums of a shard that have old keys. A forum's rows that a move has left behind are not this task's."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT o.forum_id FROM ownership o WHERE o.mode = 'owner' AND EXISTS (SELECT FROM idempotency_key k"
            " WHERE k.forum_id = o.forum_id AND k.created_at < %s) LIMIT %s",
            [before, FORUMS_A_SHARD],
        )
        return [forum for (forum,) in cursor.fetchall()]
