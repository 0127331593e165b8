"""Who owns a forum, what changed while it is on the move, and who relays this shard's events."""

from django.db import models

from forum_backend.data.shard.managers import ForumManager
from forum_backend.domain.moves import OwnershipMode

NO_LAST_KEY = 2**63 - 1


class Ownership(models.Model):
    """The shard's own word on a forum; the only one that counts. Changed by the shard's functions alone."""

    forum_id = models.IntegerField(primary_key=True)
    mode = models.CharField(max_length=10, choices=[(mode, mode) for mode in OwnershipMode])
    epoch = models.BigIntegerField()
    token = models.BigIntegerField(default=0)
    capture = models.BooleanField(default=False)
    went_to = models.CharField(max_length=40, null=True)
    went_epoch = models.BigIntegerField(null=True)
    is_announced = models.BooleanField(default=True, help_text="False until this shard's relay has announced it.")
    changed_at = models.DateTimeField()

    objects = ForumManager()

    class Meta:
        db_table = "ownership"
        indexes = [
            models.Index("forum_id", name="ownership_unannounced", condition=models.Q(is_announced=False)),
        ]


class ChangedRow(models.Model):
    """A row that changed while its forum's capture was on: what a move must copy again."""

    id = models.BigAutoField(primary_key=True)
    forum_id = models.IntegerField()
    table_name = models.CharField(max_length=40)
    row_id = models.BigIntegerField()
    is_insert = models.BooleanField(db_default=False)

    objects = ForumManager()

    class Meta:
        db_table = "changed_row"
        indexes = [
            models.Index("forum_id", "id", name="changed_row_forum"),
            # A chunk asks for the entries of its own rows; without it each would read the log of the whole forum.
            models.Index("forum_id", "table_name", "row_id", name="changed_row_of_row"),
        ]


class CopyProgress(models.Model):
    """How far a move has come with one table of an incoming forum, saved in the transactions that add its rows.

    ``last_key`` is the highest key there was when logging began: rows above it are in the log, all of them.
    ``rows`` and ``content`` (a sum of hashes) are those of all rows here, once they were verified; from then on each
    transaction that changes rows keeps them exact, so that nobody has to read them all under a fence.
    """

    id = models.BigAutoField(primary_key=True)
    forum_id = models.IntegerField()
    table_name = models.CharField(max_length=40)
    last_key = models.BigIntegerField(db_default=NO_LAST_KEY)
    copied_to = models.BigIntegerField(default=0)
    is_copied = models.BooleanField(default=False)
    verified_to = models.BigIntegerField(default=0)
    is_verified = models.BooleanField(default=False)
    rows = models.BigIntegerField(default=0)
    content = models.DecimalField(max_digits=40, decimal_places=0, default=0)

    objects = ForumManager()

    class Meta:
        db_table = "copy_progress"
        constraints = [models.UniqueConstraint(fields=["forum_id", "table_name"], name="copy_progress_once")]


class ShardServer(models.Model):
    """One row a shard: the timeline of the server on which its ownership was compared with the other shards' last.

    A server on another timeline was promoted or restored since, and takes no writes until it is reconciled.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    timeline = models.CharField(max_length=8)
    reconciled_at = models.DateTimeField()

    class Meta:
        db_table = "shard_server"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="shard_server_is_one")]


class RelayLease(models.Model):
    """One row a shard: which relay works here, and up to which position it has published."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    holder = models.CharField(max_length=80, blank=True)
    token = models.BigIntegerField(default=0)
    leased_until = models.DateTimeField(null=True)
    published_position = models.BigIntegerField(default=0)

    class Meta:
        db_table = "relay_lease"
