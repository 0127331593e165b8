"""Whether the states that a real move went through are a path of the model."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from tests.model.mutants import ROLLED_BACK, explored


@cache
def edges() -> frozenset[tuple[bool, str, str]]:
    """Every step from state to state that the model's moves (True: with a copy) and rollbacks can record."""
    return frozenset(explored(ROLLED_BACK).edges)


def first_stray(states: Sequence[str], *, is_rollback: bool = False) -> str:
    """The first step that the model does not know, in words; empty for a path of the model.

    ``states`` as recorded: the ``move.<state>`` of a move's status events in their order, from ``planned`` on.
    """
    known = edges()
    if not states or states[0] != "planned":
        return f"a move begins with planned, not with {states[0] if states else 'nothing'}"
    for before, after in pairwise(states):
        if (not is_rollback, before, after) not in known:
            return f"{before} to {after}"
    return ""


def is_path(states: Sequence[str], *, is_rollback: bool = False) -> bool:
    """Whether the model has a run that records these states."""
    return not first_stray(states, is_rollback=is_rollback)
