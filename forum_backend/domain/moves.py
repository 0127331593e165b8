"""The states of a move and the transitions between them, as data."""

from enum import StrEnum


class MoveState(StrEnum):
    """Where a move is; DESIGN's protocol table says what each state has done and who may write."""

    PLANNED = "planned"
    PREPARED = "prepared"
    ARMED = "armed"
    FENCED = "fenced"
    ACTIVATED = "activated"
    DEPARTED = "departed"
    CLEANED = "cleaned"
    ABORTED = "aborted"


class OwnershipMode(StrEnum):
    """What a shard is for a forum. Writes need ``owner``; reads need ``owner`` or ``fenced``."""

    OWNER = "owner"
    FENCED = "fenced"
    INCOMING = "incoming"
    DEPARTED = "departed"
    ABORTED = "aborted"


TRANSITIONS: dict[MoveState, frozenset[MoveState]] = {
    MoveState.PLANNED: frozenset({MoveState.PREPARED, MoveState.ABORTED}),
    # An attempt that fails is undone and begins anew: back to PLANNED.
    MoveState.PREPARED: frozenset({MoveState.ARMED, MoveState.PLANNED, MoveState.ABORTED}),
    MoveState.ARMED: frozenset({MoveState.FENCED, MoveState.PLANNED, MoveState.ABORTED}),
    MoveState.FENCED: frozenset({MoveState.ACTIVATED, MoveState.PLANNED, MoveState.ABORTED}),
    MoveState.ACTIVATED: frozenset({MoveState.DEPARTED}),
    MoveState.DEPARTED: frozenset({MoveState.CLEANED}),
    MoveState.CLEANED: frozenset(),
    MoveState.ABORTED: frozenset(),
}

FINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)
RUNNING = frozenset(MoveState) - FINAL
# A forum has at most one move in these; DEPARTED is only clean-up and does not stand in the way of another move.
EXCLUSIVE = RUNNING - {MoveState.DEPARTED}
COMMITTED = frozenset({MoveState.ACTIVATED, MoveState.DEPARTED, MoveState.CLEANED})


def may_follow(current: MoveState, following: MoveState) -> bool:
    """Whether the protocol has an edge from ``current`` to ``following``."""
    return following in TRANSITIONS[current]
