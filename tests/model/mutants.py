"""The protocol with one rule taken away each, and within which bounds that must show."""

from functools import cache

from tests.model.explore import Exploration, explore
from tests.model.world import Bounds, Rules

ALONE = Bounds(take_overs=0, moves=1, attempts=1)
TAKEN_OVER = Bounds(take_overs=1, moves=1, attempts=1)
ROLLED_BACK = Bounds(take_overs=0, moves=2, attempts=2)
CLEANED_LATE = Bounds(take_overs=1, attempts=1, late_cleaners=1)
FAILED_OVER = Bounds(take_overs=0, failovers=1, moves=1, attempts=1)

# All that may happen, in three cuts: none of them must break anything.
CLEAN = {
    "a mover that is taken over and comes back": TAKEN_OVER,
    "a move and a rollback or a move back": ROLLED_BACK,
    "a failover of either shard": FAILED_OVER,
}
# For those with patience: python -m tests.model --wide
WIDE = {
    "a move back while the earlier move is cleaned up": CLEANED_LATE,
    "attempts that are taken over": Bounds(take_overs=1, moves=1, attempts=2),
    "a rollback with a zombie": Bounds(take_overs=1, moves=2, attempts=1),
    "two zombies": Bounds(take_overs=2, moves=1, attempts=1),
    "a failover on the way back": Bounds(take_overs=0, failovers=1, moves=2, attempts=1),
    "a failover with a zombie": Bounds(take_overs=1, failovers=1, moves=1, attempts=1),
}
MUTANTS: dict[str, tuple[Rules, Bounds]] = {
    "no guard": (Rules(guard=False), ALONE),
    "no lock at the fence": (Rules(fence_locks=False), ALONE),
    "no lock when arming": (Rules(arming_locks=False), ALONE),
    "`id >` instead of exactly those ids": (Rules(exact_ids=False), ALONE),
    "source reopened before the target is aborted": (Rules(target_first=False), ALONE),
    "no token": (Rules(tokens=False), TAKEN_OVER),
    "no last delta": (Rules(last_delta=False), ALONE),
    "a take-over that tells no shard its token": (Rules(announces=False), TAKEN_OVER),
    "an attempt goes on although its log was given up": (Rules(keeps_armed=False), TAKEN_OVER),
    "an undone rollback gives the log up": (Rules(keeps_log=False), ROLLED_BACK),
    "cleaning while a rollback may be asked for": (Rules(closes_first=False), ROLLED_BACK),
    "a promoted standby is believed": (Rules(timeline=False), FAILED_OVER),
}


@cache
def explored(bounds: Bounds) -> Exploration:
    """The protocol as it is, within these bounds."""
    return explore(Rules(), bounds)


def counterexample(name: str) -> Exploration:
    """Explore a mutant until it breaks something."""
    rules, bounds = MUTANTS[name]
    return explore(rules, bounds, stop_any=True)


def told(name: str, found: Exploration) -> str:
    """A mutant's shortest counterexample, to be read."""
    lines = [f"{name}: {found.states} states"]
    for broken, steps in found.violations.items():
        lines += [f"  {broken}:", *(f"    {number:2}. {step}" for number, step in enumerate(steps, 1))]
    return "\n".join(lines)
