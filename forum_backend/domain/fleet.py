"""The fleet as the planner sees it: shards, forums with their loads, what has to stay, and how even it all is."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import exp
from typing import NamedTuple


class Load(NamedTuple):
    """What a forum or a shard carries. The rates are moving averages."""

    rows: float = 0.0
    bytes: float = 0.0
    writes_s: float = 0.0
    reads_s: float = 0.0

    def plus(self, other: "Load", *, times: float = 1.0) -> "Load":
        return Load(*(mine + times * its for mine, its in zip(self, other, strict=True)))


NOTHING = Load()
# How a reason names them, in the order of the fields.
DIMENSIONS = ("rows", "bytes", "writes", "reads")
# A whole fleet below this is idle in that respect: who has three rows of the four there are is no trouble.
FLOOR = Load(rows=500, bytes=1_000_000, writes_s=1, reads_s=10)


class Stay(StrEnum):
    """Why a forum stays where it is. ``COOLING`` stands back when its shard is drained."""

    PINNED = "it is pinned"
    MOVING = "it is on the move"
    FAILED = "its last move failed a moment ago"
    COOLING = "it was moved lately"


@dataclass(frozen=True, slots=True)
class ForumAt:
    """A forum, where it lives, and why it stays there (None: it may move)."""

    forum: int
    shard: str
    load: Load = NOTHING
    stays: Stay | None = None


@dataclass(frozen=True, slots=True)
class ShardAt:
    """A shard with the load of all its forums, listed or not. ``moves``: those running from or to it."""

    name: str
    load: Load = NOTHING
    is_draining: bool = False
    answers: bool = True
    moves: int = 0

    @property
    def takes_forums(self) -> bool:
        return self.answers and not self.is_draining


@dataclass(frozen=True, slots=True)
class Fleet:
    """All shards, and the forums that matter: the heaviest of each shard."""

    shards: tuple[ShardAt, ...]
    forums: tuple[ForumAt, ...]
    moves: int = 0

    def with_forum_on(self, forum: int, target: str) -> "Fleet":
        """The fleet after a move."""
        moved = next(at for at in self.forums if at.forum == forum)
        change = {shard.name: 0.0 for shard in self.shards}
        change[moved.shard] -= 1.0
        change[target] += 1.0
        return replace(
            self,
            shards=tuple(
                replace(shard, load=shard.load.plus(moved.load, times=change[shard.name])) for shard in self.shards
            ),
            forums=tuple(replace(at, shard=target) if at is moved else at for at in self.forums),
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """What a plan keeps to. ``threshold``: no shard more than this share above the average, and nothing moves.

    ``avoided``: shards that are given nothing, although they answer, for they refused a moment ago.
    """

    threshold: float = 0.2
    moves_in_all: int = 20
    moves_per_shard: int = 10
    drains_only: bool = False
    avoided: tuple[str, ...] = ()
    floor: Load = field(default=FLOOR)


@dataclass(frozen=True, slots=True)
class Unevenness:
    """How far a fleet is from even; compared in this order. Each move of a plan makes it less.

    ``to_leave``: forums on shards that are drained. ``spread``: over the shards that take forums and over rows, bytes,
    writes and reads, the sum of the squared distances from the average, each as a share of the whole fleet's.
    """

    to_leave: int
    spread: float

    def is_less_than(self, other: "Unevenness") -> bool:
        return (self.to_leave, self.spread) < (other.to_leave, other.spread)


def units_of(fleet: Fleet, floor: Load) -> Load:
    """What counts as a whole in each dimension: the fleet's total, or the floor."""
    totals = [sum(column) for column in zip(NOTHING, *(shard.load for shard in fleet.shards), strict=True)]
    return Load(*(max(total, least) for total, least in zip(totals, floor, strict=True)))


def shares(load: Load, units: Load) -> tuple[float, ...]:
    """A load as shares of the whole."""
    return tuple(part / unit for part, unit in zip(load, units, strict=True))


def unevenness(fleet: Fleet, floor: Load = FLOOR) -> Unevenness:
    """The measure that each move of a plan makes less."""
    draining = {shard.name for shard in fleet.shards if shard.is_draining}
    to_leave = sum(1 for at in fleet.forums if at.shard in draining)
    units = units_of(fleet, floor)
    return Unevenness(to_leave, spread_of([shares(shard.load, units) for shard in fleet.shards if shard.takes_forums]))


def spread_of(loads: Sequence[Sequence[float]]) -> float:
    """The sum of the squared distances from the average, over all dimensions."""
    return sum(_squares(column) for column in zip(*loads, strict=True))


def _squares(column: Sequence[float]) -> float:
    mean = sum(column) / len(column)
    return sum((share - mean) * (share - mean) for share in column)


def excess_of(loads: Sequence[Sequence[float]]) -> float:
    """By how much of the average the fullest shard is above it, in its worst dimension; 0 for an even fleet.

    Of an idle fleet's floor, not of its total: the average is what the whole (1) would give each shard.
    """
    return max((_above(column) for column in zip(*loads, strict=True)), default=0.0)


def _above(column: Sequence[float]) -> float:
    return (max(column) - sum(column) / len(column)) * len(column)


def moving_average(before: float, *, rate: float, elapsed_s: float, memory_s: float) -> float:
    """An exponentially moving average after ``elapsed_s`` at ``rate``; what is ``memory_s`` old counts a third."""
    weight = 1.0 - exp(-elapsed_s / memory_s)
    return before + weight * (rate - before)
