"""The status page: shards with their loads and forums, moves running and past, and the number to follow from."""

from dataclasses import dataclass
from typing import Any

from forum_backend.data.control.directory.models import ForumPlacement
from forum_backend.data.control.moves.models import Move, StatusCounter
from forum_backend.domain.moves import EXCLUSIVE
from forum_backend.queries.moves import move_shape
from forum_backend.queries.shards import shard_states

MAX_FORUMS = 500
MAX_MOVES = 30


@dataclass(frozen=True, slots=True)
class ForumOnShard:
    """A forum by its address, and the shard that the directory names for it."""

    id: int
    slug: str
    shard: str


@dataclass(frozen=True, slots=True)
class StatusPage:
    """``forums`` are the newest ``MAX_FORUMS``; ``more_forums`` says that there are others."""

    number: int
    shards: list[dict[str, Any]]
    forums: list[ForumOnShard]
    more_forums: bool
    moves: list[dict[str, Any]]


def status_page() -> StatusPage:
    """What staff see of the fleet. The number is read first: what is read after it is at least as new."""
    number = StatusCounter.objects.values_list("last_number", flat=True).first() or 0
    placements = ForumPlacement.objects.filter(is_ready=True, deleted_at=None).order_by("-pk")
    rows = [ForumOnShard(*row) for row in placements.values_list("pk", "slug", "shard_id")[: MAX_FORUMS + 1]]
    forums = sorted(rows[:MAX_FORUMS], key=lambda forum: forum.slug)
    return StatusPage(number, _loaded(shard_states(), forums), forums, len(rows) > MAX_FORUMS, _moves())


def _loaded(shards: list[dict[str, Any]], forums: list[ForumOnShard]) -> list[dict[str, Any]]:
    """Each shard with its forums, and the largest load of all as the end of the scale."""
    largest = {name: max((shard[name] for shard in shards), default=0) or 1 for name in ("rows_count", "bytes")}
    largest["forums_count"] = max((shard["forums_count"] for shard in shards), default=0) or 1
    return [
        {**shard, "largest": largest, "forums": [forum for forum in forums if forum.shard == shard["name"]]}
        for shard in shards
    ]


def _moves() -> list[dict[str, Any]]:
    moves = Move.objects.select_related("forum").order_by("-pk")[:MAX_MOVES]
    return [{**move_shape(move), "slug": move.forum.slug, "is_running": move.state in EXCLUSIVE} for move in moves]
