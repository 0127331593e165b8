"""Measuring the fleet: what each shard holds, for placement and for those who look at it."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connections, transaction

from forum_backend.data.control.directory.models import Shard
from forum_backend.domain.moves import OwnershipMode
from forum_backend.queries.fleet_states import fleet_states
from forum_backend.services.fleet_news import tell_fleet
from forum_backend.services.forum_rows import FORUM_TABLES
from routers.fanout import fan_out
from routers.registry import registry


@dataclass(frozen=True, slots=True)
class Load:
    """What a shard holds; the rows are the server's own estimate."""

    forums_count: int
    rows_count: int
    bytes: int


def measure_shards(*, now: datetime) -> list[str]:
    """Refresh the figures of every shard that answers, and tell of those that changed; the names of the silent ones."""
    registry.refresh()
    measured = fan_out(_measure)
    for name, load in measured.answers.items():
        _store(name, load, now=now)
    tell_fleet(fleet_states(silent=measured.missing), now=now)
    return measured.missing


def _measure(alias: str) -> Load:
    names = [table.name for table in FORUM_TABLES]
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM ownership WHERE mode IN (%s, %s)),"
            " (SELECT coalesce(sum(n_live_tup), 0)::bigint FROM pg_stat_user_tables WHERE relname = ANY(%s)),"
            " pg_database_size(current_database())",
            [OwnershipMode.OWNER, OwnershipMode.FENCED, names],
        )
        return Load(*cursor.fetchone())


def _store(name: str, load: Load, *, now: datetime) -> None:
    with transaction.atomic(using="default"):
        shard = Shard.objects.select_for_update().filter(pk=name).first()
        if shard is None:
            return
        shard.forums_count, shard.rows_count, shard.bytes = load.forums_count, load.rows_count, load.bytes
        shard.measured_at, shard.placed_since = now, 0
        shard.save(update_fields=["forums_count", "rows_count", "bytes", "measured_at", "placed_since"])
