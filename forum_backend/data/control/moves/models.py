"""Moves of forums between shards, and the history that staff follow live."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from forum_backend.domain.moves import EXCLUSIVE, MoveState


class Move(models.Model):
    """One forum's journey from a source shard to a target shard, advanced by compare-and-set on ``state``."""

    forum = models.ForeignKey("directory.ForumPlacement", on_delete=models.PROTECT, related_name="moves")
    source = models.ForeignKey("directory.Shard", on_delete=models.PROTECT, related_name="+")
    target = models.ForeignKey("directory.Shard", on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=12, choices=[(state, state) for state in MoveState], default=MoveState.PLANNED)
    epoch = models.BigIntegerField(help_text="The epoch of the source; the target becomes owner at the next one.")
    token = models.BigIntegerField(default=1, help_text="Grows with each mover; the shards refuse lower ones.")
    leased_until = models.DateTimeField(null=True)
    attempts = models.IntegerField(default=0)
    not_before = models.DateTimeField(db_default=Now())
    rows_done = models.BigIntegerField(default=0)
    rows_total = models.BigIntegerField(default=0)
    rows_per_s = models.FloatField(null=True, help_text="Of the copy, as measured last.")
    lag = models.BigIntegerField(default=0, help_text="Log entries that wait to be caught up with.")
    throttled_by = models.CharField(max_length=200, blank=True, help_text="Why the copy is slow now; empty: it is not.")
    pressure = models.FloatField(null=True, help_text="How far copying gives way: 0 not at all, 1 as far as it can.")
    waits_for = models.CharField(max_length=200, blank=True, help_text="A place to run; empty: it has one.")
    predicted_window_ms = models.FloatField(null=True)
    window_ms = models.FloatField(null=True, help_text="Time in which no shard took writes of the forum.")
    verdict = models.JSONField(null=True, help_text="What was verified: rows, hash of the content, repairs.")
    pause_at = models.CharField(max_length=12, blank=True, help_text="The state in which to wait for `resume`.")
    is_cancelled = models.BooleanField(default=False, help_text="To be given up before its fence.")
    rolls_back = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="rolled_back_by")
    reversible_until = models.DateTimeField(null=True)
    has_leftovers = models.BooleanField(default=False, help_text="ABORTED, and rows of it are on the target still.")
    reason = models.CharField(max_length=300, blank=True, help_text="Why the planner wanted it.")
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    request_key = models.CharField(max_length=200, null=True, help_text="Idempotency-Key of the request.")
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "move"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["forum"],
                condition=models.Q(state__in=sorted(EXCLUSIVE)),
                name="one_move_per_forum",
            ),
            models.UniqueConstraint(fields=["requested_by", "request_key"], name="move_request_key_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.forum_id}: {self.source_id} -> {self.target_id} ({self.state})"


class MoveLimits(models.Model):
    """One row: how fast copies may be, and what makes them slower. Movers read it while they run."""

    rows_per_second = models.IntegerField(null=True, help_text="Of one copy; null: as fast as others do not suffer.")
    slow_factor = models.FloatField(default=1.25, help_text="A write is slow that takes so many times what it did.")
    slow_ms = models.FloatField(default=1.0, help_text="And so many milliseconds longer.")
    lag_s = models.FloatField(default=5.0, help_text="The most that a replica of either shard may be behind.")
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "move_limits"


class StatusEvent(models.Model):
    """The gap-free history of the fleet: transitions of moves, changes of shards. Numbered under one row lock."""

    number = models.BigIntegerField(primary_key=True)
    type = models.CharField(max_length=40)
    move = models.ForeignKey(Move, on_delete=models.CASCADE, null=True, related_name="events")
    data = models.JSONField(default=dict)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "status_event"
        ordering = ["number"]


class StatusCounter(models.Model):
    """One row: the last number given to a StatusEvent. Its lock is what keeps the numbers without a gap."""

    last_number = models.BigIntegerField(default=0)

    class Meta:
        db_table = "status_counter"
