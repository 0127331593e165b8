"""Whether the states that a real move went through are a path of the model."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

# What the model's moves can record; exploring it takes seconds, so test_model holds these tables against it.
ROLLBACK = {
    "planned": "prepared aborted",
    "prepared": "armed planned aborted",
    "armed": "catching_up planned aborted",
    "catching_up": "verified planned aborted",
    "verified": "ready planned aborted",
    "ready": "fenced planned aborted",
    "fenced": "activated catching_up planned aborted",
    "activated": "departed",
    "departed": "reversible",
    "reversible": "cleaned",
}
WITH_A_COPY = ROLLBACK | {"armed": "copying planned aborted", "copying": "catching_up planned aborted"}


def _edges(table: Mapping[str, str], *, has_copy: bool) -> set[tuple[bool, str, str]]:
    return {(has_copy, before, after) for before, afters in table.items() for after in afters.split()}


# Every step from state to state, of moves with a copy (True) and of rollbacks.
EDGES = frozenset(_edges(WITH_A_COPY, has_copy=True) | _edges(ROLLBACK, has_copy=False))


def first_stray(states: Sequence[str], *, is_rollback: bool = False) -> str:
    """The first step that the model does not know, in words; empty for a path of the model.

    ``states`` as recorded: the ``move.<state>`` of a move's status events in their order, from ``planned`` on.
    """
    if not states or states[0] != "planned":
        return f"a move begins with planned, not with {states[0] if states else 'nothing'}"
    for before, after in pairwise(states):
        if (not is_rollback, before, after) not in EDGES:
            return f"{before} to {after}"
    return ""


def is_path(states: Sequence[str], *, is_rollback: bool = False) -> bool:
    """Whether the model has a run that records these states."""
    return not first_stray(states, is_rollback=is_rollback)
