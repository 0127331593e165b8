"""What the model knows of the world in one moment: shards, writers, movers, the move's row. All of it hashable."""

from dataclasses import dataclass
from typing import NamedTuple

from forum_backend.domain.moves import OwnershipMode

ABSENT = "absent"
OWNER, FENCED, INCOMING = OwnershipMode.OWNER.value, OwnershipMode.FENCED.value, OwnershipMode.INCOMING.value
DEPARTED, ABORTED = OwnershipMode.DEPARTED.value, OwnershipMode.ABORTED.value
NOT_SERVING = (ABSENT, INCOMING, ABORTED, DEPARTED)

NO_ROW = 0
# A writer has a row of its own and changes it in this order; values never repeat.
SCRIPTS = ((2, NO_ROW), (3,))
AT_FIRST = (1, NO_ROW)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The protocol's rules; a mutant is the protocol with one of them taken away."""

    guard: bool = True  # a writer's shard decides whether it may write
    fence_locks: bool = True  # the fence waits for open transactions
    arming_locks: bool = True  # capture is turned on when no transaction is open that does not log
    exact_ids: bool = True  # those log entries are forgotten that were read; else a cursor, `id > last`
    target_first: bool = True  # the target is aborted before the source is opened again
    tokens: bool = True  # shards refuse older tokens
    last_delta: bool = True  # what changed since the last catch-up is applied in the activation
    announces: bool = True  # who takes a move over tells both shards its token before it reads
    keeps_log: bool = True  # a rollback that is undone leaves capture on: rows still differ
    timeline: bool = True  # a promoted standby refuses until it was reconciled
    closes_first: bool = True  # before rows are deleted it is written down that nobody may roll back any more
    keeps_armed: bool = True  # an attempt goes on after its fence only if the source has logged all the time


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much may happen in one run of the model."""

    take_overs: int = 1
    failovers: int = 0
    moves: int = 2
    attempts: int = 2
    late_cleaners: int = 0  # not 0: it begins with a move back, while the earlier move is to be cleaned up


class Shard(NamedTuple):
    """A shard's ownership row, its rows of the forum, its log of changed rows (id, key)."""

    mode: str
    epoch: int
    token: int
    capture: bool
    rows: tuple[int, ...]
    log: tuple[tuple[int, int], ...] = ()
    next_id: int = 1
    copied: int = 0  # how many keys were copied here
    cursor: int = 0  # used by a mutant only
    is_promoted: bool = False
    standby: "Shard | None" = None  # what a standby has that lost the last change of ownership


class Writer(NamedTuple):
    """How many of its changes are acknowledged, and the transaction it has open, if any: (shard, epoch, log id)."""

    done: int = 0
    open: tuple[int, int, int] | None = None


class Move(NamedTuple):
    """The row in the control database."""

    source: int
    epoch: int
    has_copy: bool  # False: a rollback, whose target kept its rows
    state: str
    token: int
    attempts: int = 0
    is_closed: bool = False  # no rollback any more

    @property
    def target(self) -> int:
        return 1 - self.source


class Mover(NamedTuple):
    """A process that works on a move: the row as it knows it, what it does next, what it has read."""

    move: Move
    step: str
    memory: tuple[object, ...] = ()


class World(NamedTuple):
    """Everything. The last mover is the one that has the move's token; the one before it is a zombie."""

    shards: tuple[Shard, Shard]
    writers: tuple[Writer, ...]
    move: Move
    movers: tuple[Mover, ...]
    take_overs: int
    failovers: int
    moves: int
    late_cleaners: int = 0
    highest: int = 1  # the highest epoch at which a shard took writes

    def acknowledged(self, key: int) -> int:
        """The value that the row must have."""
        done = self.writers[key].done
        return SCRIPTS[key][done - 1] if done else AT_FIRST[key]

    def is_written_on(self, shard: int) -> bool:
        """Whether a writer holds the shard's shared lock."""
        return any(writer.open is not None and writer.open[0] == shard for writer in self.writers)

    def next_token(self) -> int:
        """Higher than any before, over all moves of the forum."""
        return 1 + max(self.move.token, *(mover.move.token for mover in self.movers))

    def with_shard(self, index: int, shard: Shard) -> "World":
        first, second = self.shards
        return self._replace(shards=(shard, second) if index == 0 else (first, shard))


class Step(NamedTuple):
    """Something that may happen next: its name, the world then, and the invariant that it breaks, if any."""

    name: str
    world: World
    broken: str = ""


def beginning(bounds: Bounds) -> World:
    """The forum lives on shard 0 at epoch 1, and a move to shard 1 is planned."""
    if bounds.late_cleaners:
        return moved_once(bounds)
    move = Move(source=0, epoch=1, has_copy=True, state="planned", token=1)
    return World(
        shards=(Shard(OWNER, 1, 0, False, AT_FIRST), Shard(ABSENT, 0, 0, False, (NO_ROW, NO_ROW))),
        writers=tuple(Writer() for _ in SCRIPTS),
        move=move,
        movers=(Mover(move, "prepare"),),
        take_overs=bounds.take_overs,
        failovers=bounds.failovers,
        moves=bounds.moves - 1,
    )


def moved_once(bounds: Bounds) -> World:
    """The forum came to shard 1, shard 0 has its rows still, and a move back with a copy is planned."""
    move = Move(source=1, epoch=2, has_copy=True, state="planned", token=2)
    return World(
        shards=(Shard(DEPARTED, 1, 1, False, AT_FIRST), Shard(OWNER, 2, 1, True, AT_FIRST)),
        writers=tuple(Writer() for _ in SCRIPTS),
        move=move,
        movers=(Mover(move, "prepare"),),
        take_overs=bounds.take_overs,
        failovers=bounds.failovers,
        moves=0,
        late_cleaners=bounds.late_cleaners,
        highest=2,
    )


def replaced(values: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    return (*values[:index], value, *values[index + 1 :])
