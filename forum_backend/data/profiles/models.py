"""Profiles: what others see of a user, with counters kept by events. Joined to users by id, across databases."""

from django.conf import settings
from django.db import models


class Profile(models.Model):
    """Created by the event of a registration. ``username`` is a copy of the account's, which never changes."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        primary_key=True,
        related_name="profile",
    )
    username = models.CharField(max_length=40, unique=True)
    display_name = models.CharField(max_length=80, blank=True)
    about = models.TextField(max_length=2000, blank=True)
    avatar = models.URLField(max_length=300, blank=True)
    posts_count = models.IntegerField(default=0)
    points = models.IntegerField(default=0)
    joined_at = models.DateTimeField()

    class Meta:
        db_table = "profile"

    def __str__(self) -> str:
        return self.username


class ConsumerCursor(models.Model):
    """How far a consumer has come in a forum's history; moved in the transaction of its effects."""

    id = models.BigAutoField(primary_key=True)
    consumer = models.CharField(max_length=40)
    forum_id = models.IntegerField()
    number = models.BigIntegerField(default=0)

    class Meta:
        db_table = "consumer_cursor"
        constraints = [models.UniqueConstraint(fields=["consumer", "forum_id"], name="cursor_per_forum")]
