"""The states of a move and the transitions between them, as data."""

from enum import StrEnum


class MoveState(StrEnum):
    """Where a move is; DESIGN's protocol table says what each state has done and who may write."""

    PLANNED = "planned"
    PREPARED = "prepared"
    ARMED = "armed"
    COPYING = "copying"
    CATCHING_UP = "catching_up"
    VERIFIED = "verified"
    READY = "ready"
    FENCED = "fenced"
    ACTIVATED = "activated"
    DEPARTED = "departed"
    REVERSIBLE = "reversible"
    CLEANED = "cleaned"
    ABORTED = "aborted"


class OwnershipMode(StrEnum):
    """What a shard is for a forum. Writes need ``owner``; reads need ``owner`` or ``fenced``."""

    OWNER = "owner"
    FENCED = "fenced"
    INCOMING = "incoming"
    DEPARTED = "departed"
    ABORTED = "aborted"


_UNDONE = frozenset({MoveState.PLANNED, MoveState.ABORTED})
TRANSITIONS: dict[MoveState, frozenset[MoveState]] = {
    MoveState.PLANNED: frozenset({MoveState.PREPARED, MoveState.ABORTED}),
    # An attempt that fails before anything was copied is undone and begins anew.
    MoveState.PREPARED: _UNDONE | {MoveState.ARMED},
    # A rollback finds the rows in place: nothing to copy.
    MoveState.ARMED: _UNDONE | {MoveState.COPYING, MoveState.CATCHING_UP},
    MoveState.COPYING: _UNDONE | {MoveState.CATCHING_UP},
    MoveState.CATCHING_UP: _UNDONE | {MoveState.VERIFIED},
    MoveState.VERIFIED: _UNDONE | {MoveState.READY},
    MoveState.READY: _UNDONE | {MoveState.FENCED},
    # What was copied stays: after a fence that stood too long the log is caught up with again.
    MoveState.FENCED: _UNDONE | {MoveState.ACTIVATED, MoveState.CATCHING_UP},
    MoveState.ACTIVATED: frozenset({MoveState.DEPARTED}),
    MoveState.DEPARTED: frozenset({MoveState.REVERSIBLE}),
    MoveState.REVERSIBLE: frozenset({MoveState.CLEANED}),
    MoveState.CLEANED: frozenset(),
    MoveState.ABORTED: frozenset(),
}

FINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)
RUNNING = frozenset(MoveState) - FINAL
# The target owns the forum and everybody knows: what is left stands in the way of no other move.
SETTLED = frozenset({MoveState.DEPARTED, MoveState.REVERSIBLE})
# Nothing more happens of its own accord but keeping and deleting old rows: who waits for a move waits no longer.
OVER = FINAL | {MoveState.REVERSIBLE}
# A forum has at most one move in these.
EXCLUSIVE = RUNNING - SETTLED
COMMITTED = frozenset({MoveState.ACTIVATED, MoveState.CLEANED}) | SETTLED
# Rows are on their way, the source serves: a failure here costs nothing but time, the work goes on where it was.
RESUMABLE = frozenset({MoveState.COPYING, MoveState.CATCHING_UP, MoveState.VERIFIED, MoveState.READY})
# The target holds no row of it yet.
UNCOPIED = frozenset({MoveState.PLANNED, MoveState.PREPARED, MoveState.ARMED})
# Where an operator may hold a move: the source serves, and no step is half done.
PAUSABLE = UNCOPIED | RESUMABLE


def may_follow(current: MoveState, following: MoveState) -> bool:
    """Whether the protocol has an edge from ``current`` to ``following``."""
    return following in TRANSITIONS[current]


def content_text(content: int) -> str:
    """A sum of 64-bit hashes as people compare it: its lowest 64 bits, hexadecimal."""
    return f"{content % 2**64:016x}"
