"""The status page: the fleet with its forums, moves under way and past, a plan, and the number to follow from."""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from forum_backend.data.control.directory.models import ForumPlacement
from forum_backend.domain.errors import NotFound
from forum_backend.queries.plans import get_plan, plan_shape
from forum_backend.queries.shards import taking_forums
from forum_backend.queries.status import status_snapshot
from forum_backend.queries.status_moves import EDGES_MS, allowed, counts_of, quantile

MAX_FORUMS = 500
LOADS = ("forums_count", "rows_count", "bytes", "writes_s", "reads_s")
PLANNED_LOADS = ("rows", "bytes", "writes_s", "reads_s")


@dataclass(frozen=True, slots=True)
class ForumOnShard:
    """A forum by its address, and the shard that the directory names for it."""

    id: int
    slug: str
    shard: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A load of a shard; ``share`` of the fullest shard's, in percent."""

    name: str
    value: float
    share: float


@dataclass(frozen=True, slots=True)
class StatusPage:
    """``live`` is what all of it was made from; ``forums`` are the newest ``MAX_FORUMS``, ``more_forums``: not all."""

    number: int
    shards: list[dict[str, Any]]
    running: list[dict[str, Any]]
    finished: list[dict[str, Any]]
    windows: dict[str, Any]
    forums: list[ForumOnShard]
    more_forums: bool
    live: dict[str, Any]


def status_page(*, now: datetime) -> StatusPage:
    """What staff see of the fleet. Forums are read after the number: they are at least as new."""
    number, snapshot = status_snapshot()
    placements = ForumPlacement.objects.filter(is_ready=True, deleted_at=None).order_by("-pk")
    rows = [ForumOnShard(*row) for row in placements.values_list("pk", "slug", "shard_id")[: MAX_FORUMS + 1]]
    forums = sorted(rows[:MAX_FORUMS], key=lambda forum: forum.slug)
    moves, shards = snapshot["moves"], snapshot["shards"]
    taking = taking_forums(shards)
    return StatusPage(
        number=number,
        shards=_with_forums(with_bars(shards, LOADS), forums),
        running=[{**move, "allowed": allowed(move, now=now, taking=taking)} for move in moves["running"]],
        finished=[{**move, "allowed": allowed(move, now=now, taking=taking)} for move in moves["finished"]],
        windows=windows_shape(snapshot["windows"]),
        forums=forums,
        more_forums=len(rows) > MAX_FORUMS,
        live=snapshot,
    )


def with_bars(shards: list[dict[str, Any]], loads: tuple[str, ...]) -> list[dict[str, Any]]:
    """Each shard with a bar for each load, against the fullest shard."""
    largest = {name: max((shard[name] for shard in shards), default=0) for name in loads}
    return [{**shard, "bars": [_bar(name, shard[name], largest[name]) for name in loads]} for shard in shards]


def _bar(name: str, value: float, largest: float) -> Bar:
    return Bar(name, value, round(100 * max(value, 0) / largest, 1) if largest > 0 else 0.0)


def _with_forums(shards: list[dict[str, Any]], forums: list[ForumOnShard]) -> list[dict[str, Any]]:
    return [{**shard, "forums": [forum for forum in forums if forum.shard == shard["name"]]} for shard in shards]


def windows_shape(windows: list[float]) -> dict[str, Any]:
    """The histogram of these windows (in milliseconds) and the figures beside it."""
    counts = counts_of(windows)
    names = [f"up to {EDGES_MS[0]}", *(f"{low} to {high}" for low, high in pairwise(EDGES_MS))]
    highest = max(counts)
    return {
        "count": len(windows),
        "p50": quantile(windows, 0.5),
        "p99": quantile(windows, 0.99),
        "max": max(windows, default=None),
        "bars": [
            {"name": name, "count": count, "share": round(100 * count / highest, 1) if highest else 0.0}
            for name, count in zip([*names, f"over {EDGES_MS[-1]}"], counts, strict=True)
        ],
    }


def plan_on_page(digest: str) -> dict[str, Any] | None:
    """A plan with the bars of its fleets, both against the fullest shard of either; None if there is none."""
    try:
        plan = plan_shape(get_plan(digest))
    except NotFound:
        return None
    before, after = plan["before"]["shards"], plan["after"]["shards"]
    barred = with_bars([*before, *after], PLANNED_LOADS)
    pairs = zip(barred[: len(before)], barred[len(before) :], strict=True)
    return {**plan, "shards": [{**old, "bars": list(zip(old["bars"], new["bars"], strict=True))} for old, new in pairs]}
