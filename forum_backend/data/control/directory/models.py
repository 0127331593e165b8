"""The shard registry, the directory (a hint; only the shard itself decides), the loads of forums, and plans."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from forum_backend.domain.ids import MAX_FORUM_NUMBER


class Shard(models.Model):
    """One PostgreSQL database that holds forums. ``dsn`` carries no password; that comes from the environment."""

    class State(models.TextChoices):
        ACTIVE = "active"
        DRAINING = "draining"  # emptied by moves; gets no new forums
        REMOVED = "removed"  # empty and out of use: only its name is kept, for moves of the past refer to it

    name = models.CharField(max_length=40, primary_key=True)
    dsn = models.CharField(max_length=500)
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    forums_count = models.IntegerField(default=0)
    rows_count = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    placed_since = models.IntegerField(default=0, help_text="Forums placed here since the load was measured.")
    measured_at = models.DateTimeField(null=True)
    forums_measured_to = models.IntegerField(default=0, help_text="The forum whose load was measured last.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "shard"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ForumPlacement(models.Model):
    """A forum's number, its address for people (slug) and the shard it is believed to live on."""

    forum_id = models.AutoField(primary_key=True)
    slug = models.SlugField(max_length=60, unique=True)
    shard = models.ForeignKey(Shard, on_delete=models.PROTECT, related_name="placements")
    epoch = models.BigIntegerField(default=1)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    creation_key = models.CharField(max_length=200, null=True, help_text="Idempotency-Key of its creation.")
    creation_digest = models.BinaryField(max_length=32, null=True)
    is_ready = models.BooleanField(default=False, help_text="Its rows are on the shard.")
    is_pinned = models.BooleanField(default=False, help_text="No plan moves it.")
    created_at = models.DateTimeField(db_default=Now())
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "forum_placement"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(forum_id__gte=1, forum_id__lte=MAX_FORUM_NUMBER), name="forum_number_in_range"
            ),
            models.UniqueConstraint(fields=["owner", "creation_key"], name="forum_creation_key_unique"),
        ]

    def __str__(self) -> str:
        return self.slug


class ForumLoad(models.Model):
    """What a forum carries, as it was measured last. ``reads_count`` only grows; web processes add to it."""

    forum = models.OneToOneField(ForumPlacement, on_delete=models.CASCADE, primary_key=True, related_name="load")
    rows_count = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    writes_s = models.FloatField(default=0)
    reads_s = models.FloatField(default=0)
    reads_count = models.BigIntegerField(default=0)
    last_number = models.BigIntegerField(default=0, help_text="Of its events, when it was measured.")
    last_reads_count = models.BigIntegerField(default=0, help_text="When it was measured.")
    measured_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "forum_load"


class Plan(models.Model):
    """Moves that would make the fleet more even. ``hash`` names what it was made from and what came out."""

    hash = models.CharField(max_length=64, unique=True)
    moves = models.JSONField(default=list)
    content = models.JSONField(default=dict, help_text="The fleet before and after, what is held back, the rules.")
    arrangement = models.CharField(max_length=64, help_text="Which forum was where, pinned or not, when it was made.")
    highest_forum = models.IntegerField(default=0, help_text="Forums made later do not make it stale.")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "plan"
        indexes = [models.Index("created_at", name="plan_age")]

    def __str__(self) -> str:
        return self.hash
