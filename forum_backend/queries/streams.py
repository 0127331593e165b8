"""Names in Redis that both ends of a stream must agree on."""

STATUS_STREAM = "forum:status"
# Holds a random value; gone or changed means that Redis has lost what it had.
GENERATION_KEY = "forum:events:generation"


def stream_of(shard: str) -> str:
    """The stream of a shard's events: forum, number, type, payload, facts."""
    return f"forum:events:{shard}"
