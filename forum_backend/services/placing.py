"""Which shard a new forum goes to: the active one with the least load among those that answer."""

from collections.abc import Iterator

from django.db.models import F

from forum_backend.data.control.directory.models import Shard
from forum_backend.domain.errors import ShardUnavailable, UnknownShard
from forum_backend.queries.forum_read import ownership_on
from routers.registry import registry

# What a forum placed since the last measurement counts as, in rows: so that new forums spread before they fill.
ROWS_OF_A_NEW_FORUM = 1_000


def least_loaded_shard() -> str:
    """The name of the shard for a new forum. ``ShardUnavailable`` if no active shard answers."""
    candidates = list(_by_load())
    for shard in candidates:
        try:
            ownership_on(registry.ensure(shard), 0)
        except ShardUnavailable:
            continue
        return shard
    if not candidates:
        raise UnknownShard("No shard takes new forums")
    raise ShardUnavailable(candidates[0])


def _by_load() -> Iterator[str]:
    load = F("rows_count") + F("placed_since") * ROWS_OF_A_NEW_FORUM
    shards = Shard.objects.filter(state=Shard.State.ACTIVE)
    yield from shards.order_by(load, "forums_count", "name").values_list("name", flat=True)
