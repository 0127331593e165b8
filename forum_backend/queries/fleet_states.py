"""The shards as those who watch the fleet see them: what they hold, what they are asked for, whether they answer."""

from collections.abc import Collection
from typing import Any

from django.db import connections

from forum_backend.queries.forum_read import ownership_on
from forum_backend.queries.shards import shard_states
from routers.fanout import fan_out
from routers.registry import registry

# A page does not wait longer than this for a server that hangs.
ANSWER_LIMIT_S = 0.7
NO_FORUM = 0
_RATES = """
SELECT p.shard_id, sum(l.writes_s), sum(l.reads_s)
FROM forum_load l JOIN forum_placement p ON p.forum_id = l.forum_id AND p.deleted_at IS NULL AND p.is_ready
WHERE l.writes_s > 0 OR l.reads_s > 0 GROUP BY p.shard_id
"""


def silent_shards() -> list[str]:
    """The shards that do not answer now."""
    registry.refresh()  # other processes may have added shards
    return fan_out(lambda alias: ownership_on(alias, NO_FORUM), time_limit_s=ANSWER_LIMIT_S).missing


def fleet_states(*, silent: Collection[str]) -> list[dict[str, Any]]:
    """All shards by name, as they were measured last, with the writes and reads a second of their forums."""
    with connections["default"].cursor() as cursor:
        cursor.execute(_RATES)
        rates = {name: (rounded(writes), rounded(reads)) for name, writes, reads in cursor.fetchall()}
    states = []
    for shard in shard_states():
        writes_s, reads_s = rates.get(shard["name"], (0.0, 0.0))
        states.append({**shard, "writes_s": writes_s, "reads_s": reads_s, "is_down": shard["name"] in silent})
    return states


def rounded(rate: float) -> float:
    """A moving average to two digits, 0 below a hundredth: what people look at, and no news with every decimal."""
    return float(f"{rate:.2g}") if rate >= 0.01 else 0.0
