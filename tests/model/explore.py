"""Breadth first through all that may happen, and the shortest way to each broken invariant."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.model.incidents import incidents
from tests.model.mover import Process
from tests.model.world import OWNER, Bounds, Mover, Rules, Step, World, beginning
from tests.model.writers import accepts, writer_steps

TWO_OWNERS = "two shards accept writes"
LOST = "an acknowledged write is lost"
BACK = "a deleted row is back"
EPOCH_SHRANK = "the epoch of the owner shrank"
MOST_STATES = 2_000_000


@dataclass
class Exploration:
    """How many worlds there are, the shortest trace to each broken invariant, and the edges between a move's states."""

    states: int = 0
    violations: dict[str, list[str]] = field(default_factory=dict)
    edges: set[tuple[bool, str, str]] = field(default_factory=set)  # of moves with a copy, and of rollbacks


def explore(
    rules: Rules, bounds: Bounds, *, stop_any: bool = False, passes_over: frozenset[str] = frozenset()
) -> Exploration:
    """All worlds that can be reached; with ``stop_any`` only until an invariant was broken that is not passed over.

    Beyond a world in which an invariant is broken nothing is explored, unless that one is passed over.
    """
    first = beginning(bounds)
    came_from: dict[World, tuple[World, str] | None] = {first: None}
    found, frontier = Exploration(), [first]
    while frontier:
        following: list[World] = []
        for world in frontier:
            for step in successors(world, rules, bounds):
                move, then = world.move, step.world.move
                if move.state != then.state and move.epoch == then.epoch and then.state != "reconciled":
                    found.edges.add((move.has_copy, move.state, then.state))
                broken = step.broken or broken_by(step.world, rules)
                after = simplified(step.world, rules)
                if broken and broken not in found.violations:
                    found.violations[broken] = [*trace(came_from, world), step.name]
                if (not broken or broken in passes_over) and after not in came_from:
                    came_from[after] = (world, step.name)
                    following.append(after)
            if stop_any and found.violations.keys() - passes_over:
                found.states = len(came_from)
                return found
        if len(came_from) > MOST_STATES:
            raise AssertionError(f"more than {MOST_STATES} states: the bounds are too wide")
        frontier = following
    found.states = len(came_from)
    return found


def successors(world: World, rules: Rules, bounds: Bounds) -> Iterator[Step]:
    yield from writer_steps(world, rules)
    for place in range(len(world.movers)):
        yield from Process(world, rules, bounds, place).steps()
    yield from incidents(world, rules)


def broken_by(world: World, rules: Rules) -> str:
    """Which invariant does not hold in this world."""
    guarded = rules if rules.guard else Rules(timeline=rules.timeline)
    owners = [shard for shard in world.shards if accepts(shard, guarded)]
    if len(owners) > 1:
        return TWO_OWNERS
    for owner in owners:
        for key, value in enumerate(owner.rows):
            expected = world.acknowledged(key)
            if value != expected:
                return BACK if expected == 0 else LOST
        if owner.epoch < world.highest:
            return EPOCH_SHRANK
    return ""


def simplified(world: World, rules: Rules) -> World:
    """The same world without movers that can do nothing any more, and with the highest epoch brought up to date."""
    highest = max(shard.epoch for shard in world.shards if shard.mode == OWNER or shard.epoch == world.highest)
    movers = tuple(mover for mover in world.movers[:-1] if is_alive(mover, world, rules))
    if movers != world.movers[:-1] or highest > world.highest:
        return world._replace(movers=(*movers, world.movers[-1]), highest=max(highest, world.highest))
    return world


def is_alive(zombie: Mover, world: World, rules: Rules) -> bool:
    """Whether an older mover may still change something: the move's row refuses it, do both shards?"""
    if zombie.step == "over" or zombie.step.startswith("save_"):
        return False
    return not rules.tokens or any(shard.token <= zombie.move.token for shard in world.shards)


def trace(came_from: dict[World, tuple[World, str] | None], world: World) -> list[str]:
    names: list[str] = []
    while (before := came_from[world]) is not None:
        world, name = before
        names.append(name)
    return names[::-1]
