"""A forum as its shard keeps it, with the counters that the relay projects from events."""

from django.conf import settings
from django.db import models

from forum_backend.data.shard.managers import ForumManager


class Forum(models.Model):
    """The tenant. Its primary key is its number in the directory; its column is ``forum_id`` as in every table."""

    id = models.IntegerField(primary_key=True, db_column="forum_id")
    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=120)
    description = models.TextField(max_length=2000, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    created_at = models.DateTimeField()
    is_deleted = models.BooleanField(default=False)

    objects = ForumManager()

    class Meta:
        db_table = "forum"

    def __str__(self) -> str:
        return self.slug

    @property
    def forum_id(self) -> int:
        """The forum's number, under the name it has in every other row."""
        return self.id


class ForumCounters(models.Model):
    """One row a forum: the last event number given, and what the events add up to. Written by the relay."""

    forum = models.OneToOneField(Forum, on_delete=models.CASCADE, primary_key=True, related_name="counters")
    last_number = models.BigIntegerField(default=0)
    threads_count = models.IntegerField(default=0)
    posts_count = models.IntegerField(default=0)
    last_post_at = models.DateTimeField(null=True)

    objects = ForumManager()

    class Meta:
        db_table = "forum_counters"
        indexes = [models.Index("last_post_at", name="forum_counters_active")]
