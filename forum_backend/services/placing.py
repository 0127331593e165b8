"""Which shard a new forum goes to: the active one with the least load among those that answer."""

from collections.abc import Iterator

from django.db.models import F

from forum_backend.data.control.directory.models import Shard
from forum_backend.domain.errors import ShardUnavailable, UnknownShard
from forum_backend.queries.forum_read import ownership_on
from routers.registry import registry

# What a forum placed since the last measurement counts as, in rows: so that new forums spread before they fill.
ROWS_OF_A_NEW_FORUM = 1_000


# Forums that are made at the same moment are counted one after the other; who is overtaken this often goes anyway.
MOST_TRIES = 8


def claim_shard() -> str:
    """Choose the shard for a new forum and count the forum there. ``ShardUnavailable`` if no active shard answers."""
    for _try in range(MOST_TRIES):
        chosen, placed_since = _least_loaded()
        unchanged = Shard.objects.filter(pk=chosen, placed_since=placed_since)
        if unchanged.update(placed_since=F("placed_since") + 1):
            return chosen
    return claim(chosen)


def claim(shard: str) -> str:
    """Count a new forum on this shard, whatever its load."""
    Shard.objects.filter(pk=registry.ensure(shard)).update(placed_since=F("placed_since") + 1)
    return shard


def _least_loaded() -> tuple[str, int]:
    """The shard that answers with the least load, and how many forums it was given since that was measured."""
    candidates = list(_by_load())
    for shard, placed_since in candidates:
        try:
            ownership_on(registry.ensure(shard), 0)
        except ShardUnavailable:
            continue
        return shard, placed_since
    if not candidates:
        raise UnknownShard("No shard takes new forums")
    raise ShardUnavailable(candidates[0][0])


def _by_load() -> Iterator[tuple[str, int]]:
    load = F("rows_count") + F("placed_since") * ROWS_OF_A_NEW_FORUM
    shards = Shard.objects.filter(state=Shard.State.ACTIVE)
    yield from shards.order_by(load, "forums_count", "name").values_list("name", "placed_since")
