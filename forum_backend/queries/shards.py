"""Reading the fleet: each shard with the load that was measured last."""

from collections.abc import Iterable
from typing import Any

from forum_backend.data.control.directory.models import Shard

MAX_SHARDS = 10_000


def shard_shape(shard: Shard) -> dict[str, Any]:
    """A shard as readers see it."""
    return {
        "name": shard.name,
        "state": str(shard.state),
        "forums_count": shard.forums_count,
        "rows_count": shard.rows_count,
        "bytes": shard.bytes,
    }


def taking_forums(shards: Iterable[dict[str, Any]]) -> set[str]:
    """The names of those shards (shapes) that forums may come to."""
    return {shard["name"] for shard in shards if shard["state"] == Shard.State.ACTIVE}


def shard_states() -> list[dict[str, Any]]:
    """All shards by name; whether they answer only asking them tells (``fleet_states``)."""
    return [shard_shape(shard) for shard in Shard.objects.exclude(state=Shard.State.REMOVED)[:MAX_SHARDS]]
