"""Settling a forum after a failover: over all rows that shards may have, and over all histories of a few moves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

import pytest

from forum_backend.domain.errors import Ownership
from forum_backend.domain.failover import SERVED, SERVES, Settlement, is_disputed, settle
from forum_backend.domain.moves import OwnershipMode

A, B, C = SHARDS = ("A", "B", "C")
OWNER, FENCED, DEPARTED = OwnershipMode.OWNER, OwnershipMode.FENCED, OwnershipMode.DEPARTED
INCOMING, ABORTED = OwnershipMode.INCOMING, OwnershipMode.ABORTED
MOVES = 4


def left(shard: str, epoch: int, mode: OwnershipMode = DEPARTED) -> Ownership:
    return Ownership(mode, epoch, shard, epoch + 1)


def after(rows: Mapping[str, Ownership], settlement: Settlement) -> dict[str, Ownership]:
    return {**rows, **settlement.changes}


def holds_what_must_hold(rows: Mapping[str, Ownership], holders: frozenset[str], known_epoch: int = 1) -> Settlement:
    """One owner, with the newest rows there are, at an epoch above all others; no epoch shrinks. Returns the word."""
    settlement = settle(rows, holders=holders, known_epoch=known_epoch)
    settled = after(rows, settlement)
    having = {shard: row.epoch for shard, row in rows.items() if row.mode in SERVES or has_left(row, shard, holders)}
    assert [shard for shard, row in settled.items() if row.mode in SERVES] == ([settlement.owner] if having else [])
    if settlement.owner is None:
        assert settlement.changes == {}
        return settlement
    owned = settled[settlement.owner]
    assert owned.mode == OWNER
    assert having[settlement.owner] == max(having.values()), "somebody has newer rows"
    assert owned.epoch >= known_epoch
    for shard, row in rows.items():
        assert settled[shard].epoch >= row.epoch
        assert settled[shard].mode != INCOMING
        if row.mode in SERVED:
            assert max(row.epoch, row.went_epoch or 0) <= owned.epoch
            assert shard == settlement.owner or settled[shard].went_to == settlement.owner
    if owned != rows[settlement.owner]:
        given = [max(row.epoch, row.went_epoch or 0) for row in rows.values()]
        assert owned.epoch > max(*given, known_epoch), (
            "what was written there at a forgotten epoch is not mistaken for this"
        )
    assert not is_disputed(settled, promoted=A, known_epoch=known_epoch), "what is settled stays settled"
    return settlement


def has_left(row: Ownership, shard: str, holders: frozenset[str]) -> bool:
    return row.mode == DEPARTED and shard in holders


def possible_rows(shard: str) -> Iterator[tuple[Ownership | None, bool]]:
    """What a shard may say of a forum, and whether it has its rows."""
    yield None, False
    for epoch in (1, 2, 3):
        yield Ownership(OWNER, epoch), True
        for mode in (INCOMING, ABORTED):
            yield Ownership(mode, epoch), False
        for other in SHARDS:
            if other != shard:
                yield left(other, epoch, FENCED), True
                yield left(other, epoch), True
                yield left(other, epoch), False


def test_whatever_the_rows_one_shard_owns_the_forum_and_has_the_newest() -> None:
    """Also rows that no history leads to, as after the failover of several servers; but an epoch is served by one."""
    for found in product(*(possible_rows(shard) for shard in SHARDS)):
        rows = {shard: row for shard, (row, _) in zip(SHARDS, found, strict=True) if row is not None}
        served = [row.epoch for row in rows.values() if row.mode in SERVED]
        if len(set(served)) == len(served):
            holders = frozenset(shard for shard, (_, has_rows) in zip(SHARDS, found, strict=True) if has_rows)
            for known_epoch in (1, 3, 5):
                holds_what_must_hold(rows, holders, known_epoch)


@pytest.mark.parametrize(
    ("rows", "holders", "owner", "epoch"),
    [
        # It went to B; on its way back A died, whose standby is behind by both moves.
        ({A: Ownership(OWNER, 1), B: left(A, 2, FENCED)}, {A, B}, B, 4),
        ({A: Ownership(OWNER, 1), B: left(A, 2)}, {A, B}, B, 4),
        ({A: Ownership(OWNER, 1), B: left(A, 2)}, {A}, A, 4),
        # It went to B for good, and is on its way to C.
        ({A: Ownership(OWNER, 1), B: left(C, 2, FENCED), C: Ownership(INCOMING, 3)}, {A, B}, B, 4),
        ({A: Ownership(OWNER, 1), B: left(C, 2, FENCED), C: Ownership(OWNER, 3)}, {A, B, C}, C, 3),
        ({A: Ownership(OWNER, 1), B: left(C, 2), C: left(A, 3)}, {A, B}, B, 5),
        # It is on its way to B, or was to arrive at A.
        ({A: Ownership(OWNER, 1), B: Ownership(INCOMING, 2)}, {A}, A, 1),
        ({A: left(B, 1, FENCED), B: Ownership(INCOMING, 2)}, {A}, A, 3),
        ({A: left(B, 1, FENCED), B: Ownership(OWNER, 2)}, {A, B}, B, 2),
        ({A: Ownership(INCOMING, 2), B: left(A, 1)}, {B}, B, 3),
        ({B: left(A, 1)}, {B}, B, 3),
        ({B: left(A, 1)}, set(), None, 0),
        # A was left long ago, and holds its rows; B, which sent it back, does not any more.
        ({A: left(B, 1), B: left(A, 2)}, {A}, A, 4),
    ],
)
def test_who_served_last_and_has_the_rows_owns(
    rows: dict[str, Ownership], holders: set[str], owner: str | None, epoch: int
) -> None:
    settlement = holds_what_must_hold(rows, frozenset(holders))
    assert settlement.owner == owner
    if owner is not None:
        assert after(rows, settlement)[owner].epoch == epoch


def test_what_all_servers_forgot_the_directory_knows() -> None:
    rows = {A: Ownership(OWNER, 1)}
    assert not is_disputed(rows, promoted=A, known_epoch=1)
    assert is_disputed(rows, promoted=A, known_epoch=2)
    assert settle(rows, holders=frozenset(rows), known_epoch=2) == Settlement(A, {A: Ownership(OWNER, 3)})


@dataclass(frozen=True)
class World:
    """Three shards after some moves: their rows, at which epoch they had the forum's last, and what A was before."""

    rows: tuple[Ownership | None, ...]
    having: tuple[int, ...]
    moves: int = 0
    before: frozenset[tuple[Ownership | None, int]] = frozenset()

    def changed(self, shard: int, row: Ownership | None, having: int, *, moves: int = 0) -> "World":
        rows, had = list(self.rows), list(self.having)
        rows[shard], had[shard] = row, having
        before = self.before | {(self.rows[0], self.having[0])} if shard == 0 else self.before
        return World(tuple(rows), tuple(had), self.moves + moves, before)


def following(world: World) -> Iterator[World]:
    """What one transaction of a move may do; a departure may come late, for a crash takes it away."""
    for shard, row in enumerate(world.rows):
        having = world.having[shard]
        if row is not None and row.mode == DEPARTED and having:
            yield world.changed(shard, row, 0)
        if row is None or row.mode not in SERVES:
            continue
        target = SHARDS.index(row.went_to) if row.went_to else None
        arriving = world.rows[target] if target is not None else None
        is_commitable = arriving is not None and (arriving.mode, arriving.epoch) == (INCOMING, row.epoch + 1)
        has_left = arriving is not None and not is_commitable and arriving.epoch > row.epoch
        if row.mode == FENCED and has_left and arriving is not None and arriving.mode != ABORTED:
            yield world.changed(shard, replace(row, mode=DEPARTED), having)
        elif row.mode == FENCED and is_commitable and target is not None:
            yield world.changed(target, Ownership(OWNER, row.epoch + 1), row.epoch + 1)
            yield world.changed(target, Ownership(ABORTED, row.epoch + 1), 0)
        elif row.mode == FENCED:
            yield world.changed(shard, Ownership(OWNER, row.epoch), having)
        else:
            yield from beginning(world, shard, row)


def beginning(world: World, shard: int, row: Ownership) -> Iterator[World]:
    """A move is prepared, or the one that is goes on to its fence."""
    expecting = [at for at, other in enumerate(world.rows) if other == Ownership(INCOMING, row.epoch + 1)]
    for target in expecting:
        yield world.changed(shard, left(SHARDS[target], row.epoch, FENCED), world.having[shard])
    for target, other in enumerate(world.rows):
        if not expecting and target != shard and world.moves < MOVES and (other is None or other.mode not in SERVES):
            yield world.changed(target, Ownership(INCOMING, row.epoch + 1), 0, moves=1)


def histories(first: int) -> set[World]:
    empty = World((None,) * len(SHARDS), (0,) * len(SHARDS))
    found = {empty.changed(first, Ownership(OWNER, 1), 1)}
    fresh = set(found)
    while fresh:
        fresh = {then for world in fresh for then in following(world)} - found
        found |= fresh
    return found


@pytest.mark.parametrize("first", range(len(SHARDS)))
def test_after_any_history_and_however_far_behind_the_standby_is(first: int) -> None:
    """Whichever of its states A's standby remembers: nothing that somebody has is given up for something older."""
    cases = 0
    for world in histories(first):
        for remembered, having in world.before | {(world.rows[0], world.having[0])}:
            seen = zip(SHARDS, (remembered, *world.rows[1:]), (having, *world.having[1:]), strict=True)
            known = {shard: (row, has) for shard, row, has in seen if row is not None}
            rows = {shard: row for shard, (row, _) in known.items()}
            holders = frozenset(shard for shard, (_, has) in known.items() if has)
            settlement = holds_what_must_hold(rows, holders)
            newest = max((has for _, has in known.values()), default=0)
            assert (known[settlement.owner][1] if settlement.owner else 0) == newest
            if not is_disputed(rows, promoted=A, known_epoch=1):
                serving = [shard for shard, row in rows.items() if row.mode in SERVES]
                assert serving == [settlement.owner]
                assert rows[serving[0]].mode == OWNER or A not in (serving[0], rows[serving[0]].went_to)
            cases += 1
    assert cases > 1_000
