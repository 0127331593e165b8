"""The planner: a fleet in, an ordered list of moves out. Pure: no database, no clock, no chance.

Drains come first: every forum of a drained shard leaves for the shard that it burdens least. Then, while the fullest
shard is further above the average than the threshold, the one move that evens the fleet most (``fleet.Unevenness``).
Each move alone helps, so a plan may be stopped after any of them.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from forum_backend.domain.fleet import (
    DIMENSIONS,
    Fleet,
    ForumAt,
    Rules,
    Stay,
    excess_of,
    shares,
    spread_of,
    units_of,
)

# What a move must take from the spread to be worth a window: a thousandth of the fleet over a gap of a thousandth.
LEAST_GAIN = 1e-6
# Differences below this are noise of floating-point numbers: the first one wins.
NOISE = 1e-9
HASH_LENGTH = 20


@dataclass(frozen=True, slots=True)
class Pace:
    """What moves take here, from those that were done: for predictions."""

    setup_s: float = 1.0
    rows_per_s: float = 20_000.0
    window_ms: float = 10.0
    last_round_s: float = 0.1


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """One move of a plan, and the spread of the fleet after it."""

    forum: int
    source: str
    target: str
    reason: str
    duration_s: float
    window_ms: float
    spread_after: float


@dataclass(frozen=True, slots=True)
class Held:
    """A forum of a drained shard that does not leave in this plan."""

    forum: int
    shard: str
    reason: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan. ``excess``: by which share of the average the fullest shard is above it."""

    moves: tuple[PlannedMove, ...]
    held: tuple[Held, ...]
    spread_before: float
    spread_after: float
    excess_before: float
    excess_after: float


def propose(fleet: Fleet, *, rules: Rules, pace: Pace) -> Proposal:
    """The moves that make this fleet more even, in the order in which to do them."""
    state = _State(fleet, rules, pace)
    before = state.loads_taking()
    moves = [*state.drain(), *(() if rules.drains_only else state.balance())]
    after = state.loads_taking()
    return Proposal(
        moves=tuple(moves),
        held=tuple(state.held({move.forum for move in moves})),
        spread_before=spread_of(before),
        spread_after=spread_of(after),
        excess_before=excess_of(before),
        excess_after=excess_of(after),
    )


def hash_of(fleet: Fleet, rules: Rules, pace: Pace, proposal: Proposal) -> str:
    """The plan's name: of what went in and what came out."""
    content = [asdict(part) for part in (fleet, rules, pace, proposal)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:HASH_LENGTH]


@dataclass(slots=True)
class _Shard:
    name: str
    takes: bool
    is_source_of_drain: bool
    room: int
    load: list[float]
    given: int = 0


class _State:
    """The fleet as it would be after the moves chosen so far. Loads are shares of the whole."""

    def __init__(self, fleet: Fleet, rules: Rules, pace: Pace) -> None:
        self._rules, self._pace = rules, pace
        units = units_of(fleet, rules.floor)
        self._room = rules.moves_in_all - fleet.moves
        self._shards = {
            shard.name: _Shard(
                name=shard.name,
                takes=shard.takes_forums,
                is_source_of_drain=shard.is_draining and shard.answers,
                room=rules.moves_per_shard - shard.moves,
                load=list(shares(shard.load, units)),
            )
            for shard in sorted(fleet.shards, key=lambda shard: shard.name)
        }
        self._draining = {shard.name for shard in fleet.shards if shard.is_draining}
        self._forums = sorted(fleet.forums, key=lambda at: at.forum)
        self._weights = {at.forum: shares(at.load, units) for at in self._forums}

    def loads_taking(self) -> list[list[float]]:
        """The loads, as they are now, of the shards that take forums."""
        return [list(shard.load) for shard in self._taking()]

    def _taking(self) -> list[_Shard]:
        return [shard for shard in self._shards.values() if shard.takes]

    def _willing(self) -> list[_Shard]:
        """Shards that may be given a forum, if there is room for another move."""
        return [shard for shard in self._taking() if shard.name not in self._rules.avoided]

    def drain(self) -> Iterator[PlannedMove]:
        """Everything off the drained shards, the heaviest forums first."""
        leaving = [at for at in self._forums if at.shard in self._draining and at.stays in (None, Stay.COOLING)]
        for at in sorted(leaving, key=lambda at: (-sum(self._weights[at.forum]), at.forum)):
            source = self._shards[at.shard]
            targets = [shard for shard in self._willing() if shard.room > 0]
            if self._room <= 0 or not targets:
                return
            if source.is_source_of_drain and source.room > 0:
                weight = self._weights[at.forum]
                target = min(targets, key=lambda shard: (_burden(weight, shard), shard.given, shard.name))
                yield self._moved(at, target, f"{source.name} is drained; {target.name} has the most room")

    def balance(self) -> Iterator[PlannedMove]:
        """While the fleet is uneven, the best move between any two shards; a forum moves once."""
        movable: dict[str, list[ForumAt]] = {shard.name: [] for shard in self._taking()}
        for at in self._forums:
            if at.stays is None and at.shard in movable:
                movable[at.shard].append(at)
        best: dict[tuple[str, str], tuple[float, ForumAt] | None] = {}
        while self._room > 0 and len(movable) > 1 and excess_of(self.loads_taking()) > self._rules.threshold:
            choice = self._choose(movable, best)
            if choice is None:
                return
            at, target = choice
            movable[at.shard].remove(at)
            reason = self._reason(at, self._shards[at.shard], target)
            yield self._moved(at, target, reason)
            changed = {at.shard, target.name}
            best = {pair: found for pair, found in best.items() if not changed & set(pair)}

    def _choose(
        self, movable: dict[str, list[ForumAt]], best: dict[tuple[str, str], tuple[float, ForumAt] | None]
    ) -> tuple[ForumAt, _Shard] | None:
        chosen: tuple[float, ForumAt, _Shard] | None = None
        ready, willing = ([shard for shard in of if shard.room > 0] for of in (self._taking(), self._willing()))
        for source, target in ((a, b) for a in ready for b in willing if a is not b):
            pair = source.name, target.name
            if pair not in best:
                best[pair] = self._best_of(movable[source.name], source, target)
            found = best[pair]
            if found is not None and (chosen is None or found[0] > chosen[0] + NOISE):
                chosen = (*found, target)
        return None if chosen is None else chosen[1:]

    def _best_of(self, movable: Iterable[ForumAt], source: _Shard, target: _Shard) -> tuple[float, ForumAt] | None:
        """The forum whose move evens these two most: half of what it takes from the sum of squares."""
        gaps = [full - empty for full, empty in zip(source.load, target.load, strict=True)]
        found: tuple[float, ForumAt] | None = None
        for at in movable:
            gain = sum(part * (gap - part) for part, gap in zip(self._weights[at.forum], gaps, strict=True))
            if gain > LEAST_GAIN and (found is None or gain > found[0] + NOISE):
                found = gain, at
        return found

    def _reason(self, at: ForumAt, source: _Shard, target: _Shard) -> str:
        """Which load made the difference, against the average of the shards."""
        gains = [
            part * (full - empty - part)
            for part, full, empty in zip(self._weights[at.forum], source.load, target.load, strict=True)
        ]
        which = gains.index(max(gains))
        column = [load[which] for load in self.loads_taking()]
        mean = sum(column) / len(column)
        full, empty = (shard.load[which] / mean for shard in (source, target))
        return f"{source.name} has {full:.2f} times the average of {DIMENSIONS[which]}, {target.name} {empty:.2f} times"

    def _moved(self, at: ForumAt, target: _Shard, reason: str) -> PlannedMove:
        source = self._shards[at.shard]
        for which, part in enumerate(self._weights[at.forum]):
            source.load[which] -= part
            target.load[which] += part
        source.room, target.room, self._room = source.room - 1, target.room - 1, self._room - 1
        target.given += 1
        rounds = self._pace.last_round_s * at.load.writes_s / self._pace.rows_per_s
        return PlannedMove(
            forum=at.forum,
            source=source.name,
            target=target.name,
            reason=reason,
            duration_s=round(self._pace.setup_s + at.load.rows / self._pace.rows_per_s, 2),
            window_ms=round(self._pace.window_ms + 1000 * rounds, 2),
            spread_after=spread_of(self.loads_taking()),
        )

    def held(self, moved: set[int]) -> Iterator[Held]:
        """What stays on drained shards, and why."""
        for at in self._forums:
            if at.shard in self._draining and at.forum not in moved:
                yield Held(at.forum, at.shard, self._why_held(at))

    def _why_held(self, at: ForumAt) -> str:
        if at.stays not in (None, Stay.COOLING):
            return str(at.stays)
        if not self._shards[at.shard].is_source_of_drain:
            return "its shard does not answer"
        if not self._willing():
            return "the shards that could take it refused a moment ago" if self._taking() else "no shard takes forums"
        return "there are enough moves for now"


def _burden(weight: Iterable[float], shard: _Shard) -> float:
    """By how much a forum would make the shard's sum of squares grow; rounded, so that ties are ties everywhere."""
    return round(sum(part * (2 * load + part) for part, load in zip(weight, shard.load, strict=True)), 12)
