"""All sharded tables, for Django to find."""

from forum_backend.data.shard.forums import Forum, ForumCounters
from forum_backend.data.shard.history import ForumEvent, IdempotencyKey, OutboxEvent
from forum_backend.data.shard.ownership import ChangedRow, CopyProgress, Ownership, RelayLease, ShardServer
from forum_backend.data.shard.posts import Post, Vote
from forum_backend.data.shard.threads import Thread

__all__ = [
    "ChangedRow",
    "CopyProgress",
    "Forum",
    "ForumCounters",
    "ForumEvent",
    "IdempotencyKey",
    "OutboxEvent",
    "Ownership",
    "Post",
    "RelayLease",
    "ShardServer",
    "Thread",
    "Vote",
]
