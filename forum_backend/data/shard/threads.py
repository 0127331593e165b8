"""Threads: a title and the posts below it."""

from django.db import models

from forum_backend.data.shard.authorship import Authored
from forum_backend.data.shard.fields import RoutedIdField
from forum_backend.data.shard.forums import Forum
from forum_backend.data.shard.managers import ForumManager


class Thread(Authored):
    """``posts_count`` and ``last_post_at`` are projected by the relay from the forum's events."""

    id = RoutedIdField(primary_key=True)
    forum = models.ForeignKey(Forum, on_delete=models.CASCADE, related_name="threads", db_index=False)
    title = models.CharField(max_length=300)
    link = models.TextField(blank=True)
    identifier = models.TextField(blank=True, help_text="The site's own id of the page, from an export.")
    is_closed = models.BooleanField(default=False)
    is_pinned = models.BooleanField(default=False)
    is_deleted = models.BooleanField(default=False)
    posts_count = models.IntegerField(default=0)
    last_post_at = models.DateTimeField()

    objects = ForumManager()

    class Meta:
        db_table = "thread"
        constraints = [models.UniqueConstraint(fields=["forum", "dsq_id"], name="thread_dsq_id_unique")]
        indexes = [
            models.Index("forum", "is_pinned", "last_post_at", "id", name="thread_listing"),
            models.Index("forum", "id", name="thread_forum"),
        ]

    def __str__(self) -> str:
        return self.title
