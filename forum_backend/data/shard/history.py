"""Outbox, event history and idempotency keys: rows of a forum, written with it and moved with it."""

from django.db import models

from forum_backend.data.shard.fields import RoutedIdField
from forum_backend.data.shard.managers import ForumManager


class OutboxEvent(models.Model):
    """An event as its write recorded it, without a number yet. The relay numbers it and takes it away."""

    id = RoutedIdField(primary_key=True)
    forum_id = models.IntegerField()
    type = models.CharField(max_length=40)
    subject_id = models.BigIntegerField()
    data = models.JSONField(default=dict)
    at = models.DateTimeField()

    objects = ForumManager()

    class Meta:
        db_table = "outbox"
        indexes = [models.Index("forum_id", "id", name="outbox_forum")]


class ForumEvent(models.Model):
    """A numbered event. Its id is ``(number << 23) | forum``: the primary key is the history in order.

    ``position`` orders the events that this shard's relay appended, over all forums; null in rows a move brought.
    """

    id = models.BigIntegerField(primary_key=True)
    forum_id = models.IntegerField()
    type = models.CharField(max_length=40)
    subject_id = models.BigIntegerField()
    data = models.JSONField(default=dict)
    at = models.DateTimeField()
    position = models.BigIntegerField(null=True, db_index=True)

    objects = ForumManager()

    class Meta:
        db_table = "forum_event"
        indexes = [models.Index("forum_id", "id", name="forum_event_forum")]


class IdempotencyKey(models.Model):
    """The answer to a request that must take effect once, kept in the transaction of its effect."""

    id = RoutedIdField(primary_key=True)
    forum_id = models.IntegerField()
    user_id = models.BigIntegerField()
    key = models.CharField(max_length=200)
    request_digest = models.BinaryField(max_length=32)
    status = models.SmallIntegerField()
    response = models.JSONField()
    created_at = models.DateTimeField()

    objects = ForumManager()

    class Meta:
        db_table = "idempotency_key"
        constraints = [models.UniqueConstraint(fields=["forum_id", "user_id", "key"], name="idempotency_key_unique")]
        indexes = [models.Index("forum_id", "id", name="idempotency_key_forum")]
