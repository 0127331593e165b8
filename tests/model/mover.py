"""A mover, step by step as its transactions are: each is atomic, between two of them everybody else may act."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from tests.model import shards
from tests.model.shards import Outcome, Refused
from tests.model.world import (
    ABORTED,
    AT_FIRST,
    DEPARTED,
    FENCED,
    INCOMING,
    NOT_SERVING,
    OWNER,
    Bounds,
    Mover,
    Rules,
    Step,
    World,
    replaced,
)  # fmt: skip

UNEQUAL = "the target was activated with other rows than the source had at the fence"
EARLY = "rows were deleted on the source before the target owned the forum"
RESUMABLE = ("copying", "catching_up", "verified", "ready")
BEFORE_COMMIT = ("planned", "prepared", "armed", *RESUMABLE, "fenced")


class Process:
    """One mover about to take one step."""

    def __init__(self, world: World, rules: Rules, bounds: Bounds, place: int) -> None:
        self.world, self.rules, self.bounds, self.place = world, rules, bounds, place
        self.mover = world.movers[place]
        self.move = self.mover.move
        self.name = f"mover {self.move.token}"

    def steps(self) -> Iterator[Step]:
        """What it may do: the next step of its work, or give the attempt up."""
        if self.mover.step in STEPS:
            with suppress(Refused):
                yield from STEPS[self.mover.step](self)
        if self.move.state in BEFORE_COMMIT and self.mover.step not in SETTLING:
            first = "abort_target" if self.rules.target_first else "reopen"
            for kept in (False, True) if self.move.state == "fenced" else (False,):
                yield self.went(Outcome(self.world), first, "gives up", kept)

    def went(self, outcome: Outcome, step: str, what: str = "", *memory: object) -> Step:
        """The step was taken; ``step`` is the next one."""
        mover = self.mover._replace(step=step, memory=memory)
        return Step(f"{self.name} {what or self.mover.step}", self.in_place(outcome.world, mover), outcome.broken)

    def in_place(self, world: World, mover: Mover) -> World:
        movers = world.movers
        return world._replace(movers=(*movers[: self.place], mover, *movers[self.place + 1 :]))

    def save(self, state: str, step: str, **facts: object) -> Step:
        """Compare-and-set of the move's row by state and token."""
        if self.world.move != self.move:
            raise Refused
        move = self.move._replace(state=state, **facts)  # type: ignore[arg-type]
        world = self.in_place(self.world._replace(move=move), Mover(move, step))
        return Step(f"{self.name} records {state}", world)

    def own(
        self, index: int, *modes: str, from_epoch: int | None, is_locked: bool = True, **changes: object
    ) -> Outcome:
        return shards.set_ownership(
            self.world,
            self.rules,
            self.mover,
            index,
            modes=modes,
            from_epoch=from_epoch,
            is_locked=is_locked,
            **changes,
        )

    def rows(self, index: int, mode: str, epoch: int, **changes: object) -> Outcome:
        return shards.change_rows(self.world, self.rules, self.mover, index, mode=mode, epoch=epoch, **changes)


def announce_source(p: Process) -> Iterator[Step]:
    done = announced(p, p.move.source)
    if p.move.state in RESUMABLE and p.rules.keeps_armed and not p.world.shards[p.move.source].capture:
        yield p.went(done, "abort_target", "finds that the log was given up", False)
    else:
        yield p.went(done, "announce_target")


def announce_target(p: Process) -> Iterator[Step]:
    yield p.went(announced(p, p.move.target), RESUMING[p.move.state])


def announced(p: Process, index: int) -> Outcome:
    """Only the token of the shard's row changes; needs no exclusive lock."""
    broken = shards.admitted(p.world, p.rules, p.mover, index, modes=(p.world.shards[index].mode,), epoch=None)
    shard = p.world.shards[index]
    return Outcome(p.world.with_shard(index, shard._replace(token=max(shard.token, p.move.token))), broken)


def prepare(p: Process) -> Iterator[Step]:
    done = p.own(p.move.target, *NOT_SERVING, from_epoch=None, mode=INCOMING, epoch=p.move.epoch + 1)
    yield p.went(done, "purge" if p.move.has_copy else "save_prepared")


def purge(p: Process) -> Iterator[Step]:
    done = p.rows(p.move.target, INCOMING, p.move.epoch + 1, rows=shards.EMPTY, copied=0, cursor=0, log=())
    yield p.went(done, "save_prepared")


def arm(p: Process) -> Iterator[Step]:
    locks = p.rules.arming_locks
    done = p.own(p.move.source, OWNER, from_epoch=p.move.epoch, is_locked=locks, mode=OWNER, capture=True)
    yield p.went(done, "save_armed")


def copy_read(p: Process) -> Iterator[Step]:
    """One chunk, read at any time after capture went on. Its progress is kept on the target."""
    key = p.world.shards[p.move.target].copied
    if key == len(AT_FIRST):
        yield p.went(Outcome(p.world), "save_catching_up", "has copied all")
    else:
        value = p.world.shards[p.move.source].rows[key]
        yield p.went(Outcome(p.world), "copy_write", f"reads row {key}", key, value)


def copy_write(p: Process) -> Iterator[Step]:
    key, value = p.mover.memory
    target = p.world.shards[p.move.target]
    assert isinstance(key, int)
    assert isinstance(value, int)
    if p.rules.tokens and target.copied != key:
        return  # somebody copied it since
    rows = replaced(target.rows, key, value) if value else target.rows
    yield p.went(p.rows(p.move.target, INCOMING, p.move.epoch + 1, rows=rows, copied=key + 1), "copy_read")


def read(p: Process) -> Iterator[Step]:
    source, target = p.world.shards[p.move.source], p.world.shards[p.move.target]
    ids, delta = shards.read_log(source, target, p.rules)
    yield p.went(Outcome(p.world), "apply" if ids else caught_up(p), "reads the log", ids, delta)


def apply(p: Process) -> Iterator[Step]:
    ids, delta = p.mover.memory
    changes = shards.applied(p.world.shards[p.move.target], ids, delta)  # type: ignore[arg-type]
    yield p.went(p.rows(p.move.target, INCOMING, p.move.epoch + 1, **changes), "forget", "", ids)


def forget(p: Process) -> Iterator[Step]:
    (ids,) = p.mover.memory
    source = p.world.shards[p.move.source]
    changes = shards.forgotten(source, ids, p.rules)  # type: ignore[arg-type]
    yield p.went(p.rows(p.move.source, OWNER, p.move.epoch, **changes), caught_up(p))


def caught_up(p: Process) -> str:
    return "save_verified" if p.move.state == "catching_up" else "save_ready"


def fence(p: Process) -> Iterator[Step]:
    locks = p.rules.fence_locks
    yield p.went(p.own(p.move.source, OWNER, from_epoch=p.move.epoch, is_locked=locks, mode=FENCED), "last_read")


def last_read(p: Process) -> Iterator[Step]:
    source, target = p.world.shards[p.move.source], p.world.shards[p.move.target]
    ids, delta = shards.read_log(source, target, p.rules) if p.rules.last_delta else ((), ())
    yield p.went(Outcome(p.world), "activate", "", ids, delta)
    yield p.went(Outcome(p.world), "reopen", "finds the target silent", False)


def activate(p: Process) -> Iterator[Step]:
    """The only commit point: last delta and ownership in one transaction."""
    ids, delta = p.mover.memory
    move = p.move
    changes = shards.applied(p.world.shards[move.target], ids, delta)  # type: ignore[arg-type]
    done = p.own(move.target, INCOMING, from_epoch=move.epoch + 1, mode=OWNER, capture=True, log=(), **changes)
    if done.world.shards[move.target].rows != done.world.shards[move.source].rows:
        done.broken = done.broken or UNEQUAL
    yield p.went(done, "save_activated")


def depart(p: Process) -> Iterator[Step]:
    move = p.move
    done = p.own(move.source, FENCED, DEPARTED, from_epoch=move.epoch, mode=DEPARTED, capture=False, log=(), cursor=0)
    yield p.went(done, "save_departed")


def back_read(p: Process) -> Iterator[Step]:
    """While the move is reversible: what changed on the target goes to the source, by the same log."""
    source, target = p.world.shards[p.move.source], p.world.shards[p.move.target]
    ids, delta = shards.read_log(target, source, p.rules)
    if ids:
        yield p.went(Outcome(p.world), "back_apply", "", ids, delta)
    if target.is_promoted or not shards.is_owner(target, p.move.epoch + 1):
        return  # who gives the way back up has seen the owner
    if p.rules.closes_first:
        closed = p.save("reversible", "close", is_closed=True)
        # The time in which one may roll back is longer than a standby can lag.
        yield closed._replace(world=closed.world.with_shard(p.move.target, target._replace(standby=None)))
    else:
        yield p.went(Outcome(p.world), "close")


def back_apply(p: Process) -> Iterator[Step]:
    ids, delta = p.mover.memory
    changes = shards.applied(p.world.shards[p.move.source], ids, delta)  # type: ignore[arg-type]
    yield p.went(p.rows(p.move.source, DEPARTED, p.move.epoch, **changes), "back_forget", "", ids)


def back_forget(p: Process) -> Iterator[Step]:
    (ids,) = p.mover.memory
    changes = shards.forgotten(p.world.shards[p.move.target], ids, p.rules)  # type: ignore[arg-type]
    yield p.went(p.rows(p.move.target, OWNER, p.move.epoch + 1, **changes), "back_read")


def close(p: Process) -> Iterator[Step]:
    """The way back is given up: nothing is logged for it any more."""
    done = p.own(p.move.target, OWNER, from_epoch=p.move.epoch + 1, mode=OWNER, capture=False, log=())
    yield p.went(done, "clean")


def clean(p: Process) -> Iterator[Step]:
    """In chunks: row by row."""
    source, target = p.world.shards[p.move.source], p.world.shards[p.move.target]
    left = [key for key, value in enumerate(source.rows) if value]
    if not left:
        yield p.save("cleaned", "over")
        return
    done = p.rows(p.move.source, DEPARTED, p.move.epoch, rows=replaced(source.rows, left[-1], 0))
    done.broken = done.broken or ("" if target.epoch > p.move.epoch and target.mode != INCOMING else EARLY)
    yield p.went(done, "clean")


def abort_target(p: Process) -> Iterator[Step]:
    """Rule the activation out for ever, or find that it has happened."""
    move, target = p.move, p.world.shards[p.move.target]
    if shards.is_owner(target, move.epoch + 1):
        if move.state == "fenced":
            yield p.went(Outcome(p.world), "save_activated", "finds the target active")
        return
    done = p.own(move.target, *NOT_SERVING, from_epoch=None, mode=ABORTED, epoch=move.epoch + 1)
    yield p.went(done, "reopen" if p.rules.target_first else "save_undone", "", *p.mover.memory)


def reopen(p: Process) -> Iterator[Step]:
    """The source takes writes again. The log of a rollback, and of an attempt that goes on, stays."""
    (is_kept,) = p.mover.memory
    source, move = p.world.shards[p.move.source], p.move
    if is_kept and p.rules.keeps_armed and not source.capture:
        is_kept = False  # an earlier recovery gave the log up
    has_log = is_kept or (not move.has_copy and p.rules.keeps_log)
    changes: dict[str, Any] = {"capture": True} if has_log else {"capture": False, "log": ()}
    done = p.own(move.source, OWNER, FENCED, from_epoch=move.epoch, mode=OWNER, **changes)
    yield p.went(done, "save_undone" if p.rules.target_first else "abort_target", "", is_kept)


def save_undone(p: Process) -> Iterator[Step]:
    if p.mover.memory[0]:
        yield p.save("catching_up", "expect_again")
    elif p.move.attempts + 1 < p.bounds.attempts:
        yield p.save("planned", "prepare", attempts=p.move.attempts + 1)
    yield p.save("aborted", "over")


def expect_again(p: Process) -> Iterator[Step]:
    """The attempt goes on after its fence: its rows are on the target still."""
    if p.world.shards[p.move.target].mode == ABORTED:
        epoch = p.move.epoch + 1
        yield p.went(p.own(p.move.target, ABORTED, from_epoch=epoch, mode=INCOMING), "read")
    else:
        yield p.went(Outcome(p.world), "read", "finds the target expecting")


def saves(state: str, step: str) -> Callable[[Process], Iterator[Step]]:
    def record(p: Process) -> Iterator[Step]:
        yield p.save(state, step)

    return record


def save_armed(p: Process) -> Iterator[Step]:
    yield p.save("armed", "save_copying" if p.move.has_copy else "save_catching_up")


STEPS: dict[str, Callable[[Process], Iterator[Step]]] = {
    step.__name__: step
    for step in (
        announce_source, announce_target, prepare, purge, arm, save_armed, copy_read, copy_write, read, apply, forget,
        fence, last_read, activate, depart, back_read, back_apply, back_forget, close, clean,
        abort_target, reopen, save_undone, expect_again,
    )
} | {
    "save_prepared": saves("prepared", "arm"),
    "save_copying": saves("copying", "copy_read"),
    "save_catching_up": saves("catching_up", "read"),
    "save_verified": saves("verified", "read"),
    "save_ready": saves("ready", "save_fenced"),
    "save_fenced": saves("fenced", "fence"),
    "save_activated": saves("activated", "depart"),
    "save_departed": saves("departed", "save_reversible"),
    "save_reversible": saves("reversible", "back_read"),
}  # fmt: skip
SETTLING = ("abort_target", "reopen", "save_undone", "over")
# Where a mover goes on that finds the move in this state; under a fence it settles.
RESUMING = {
    "planned": "prepare",
    "prepared": "arm",
    "armed": "arm",
    "copying": "copy_read",
    "catching_up": "expect_again",
    "verified": "read",
    "ready": "save_fenced",
    "activated": "depart",
    "departed": "save_reversible",
    "reversible": "back_read",
}
