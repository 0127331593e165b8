"""Reading the fleet: each shard with the load that was measured last."""

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


def shard_states() -> list[dict[str, Any]]:
    """All shards by name; whether they answer only asking them tells (``fleet_states``)."""
    return [shard_shape(shard) for shard in Shard.objects.exclude(state=Shard.State.REMOVED)[:MAX_SHARDS]]
