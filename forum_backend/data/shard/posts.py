"""Posts, as a tree below their thread, and the votes on them."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from forum_backend.data.shard.authorship import Authored
from forum_backend.data.shard.fields import RoutedIdField
from forum_backend.data.shard.forums import Forum
from forum_backend.data.shard.managers import ForumManager
from forum_backend.data.shard.threads import Thread


class Post(Authored):
    """``path`` is the ids from the root to the post itself (set by the shard), so that it sorts a tree depth first."""

    id = RoutedIdField(primary_key=True)
    # No constraint: the thread's says it already, a check says that both are of one forum, and each row of a copy pays.
    forum = models.ForeignKey(
        Forum, on_delete=models.CASCADE, related_name="posts", db_index=False, db_constraint=False
    )
    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, related_name="posts", db_index=False)
    parent = models.ForeignKey("self", on_delete=models.DO_NOTHING, null=True, related_name="replies")
    path = ArrayField(models.BigIntegerField(), null=True, editable=False)
    body = models.TextField(help_text="Markdown as it was written, or the HTML of an import.")
    html = models.TextField(help_text="Sanitised; what readers see.")
    edited_at = models.DateTimeField(null=True)
    is_deleted = models.BooleanField(default=False)
    is_spam = models.BooleanField(default=False)
    points = models.IntegerField(default=0)
    version = models.IntegerField(db_default=0, editable=False, help_text="Counts updates; kept by the shard.")

    objects = ForumManager()

    class Meta:
        db_table = "post"
        constraints = [models.UniqueConstraint(fields=["forum", "dsq_id"], name="post_dsq_id_unique")]
        indexes = [
            models.Index("thread", "id", name="post_oldest"),
            models.Index("thread", "points", "id", name="post_best"),
            models.Index("thread", "path", name="post_nested"),
            models.Index("forum", "id", name="post_forum"),
        ]


class Vote(models.Model):
    """What one user thinks of one post: 1 or -1; no row is 0."""

    id = RoutedIdField(primary_key=True)
    forum = models.ForeignKey(
        Forum, on_delete=models.CASCADE, related_name="votes", db_index=False, db_constraint=False
    )
    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="votes", db_index=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    value = models.SmallIntegerField()

    objects = ForumManager()

    class Meta:
        db_table = "vote"
        indexes = [models.Index("forum", "id", name="vote_forum")]
        constraints = [
            models.UniqueConstraint(fields=["post", "user"], name="one_vote_per_user"),
            models.CheckConstraint(condition=models.Q(value__in=[-1, 1]), name="vote_is_up_or_down"),
        ]
