"""What a shard does for a mover: each a transaction of its own, refused unless mode, epoch and token are right."""

from typing import Any

from tests.model.world import NO_ROW, OWNER, Mover, Rules, Shard, World, replaced

OLD_TOKEN = "an old token changed something"


class Refused(Exception):
    """The shard does not do it now."""


class Outcome:
    """The world after a mover's transaction, and the invariant it broke, if any."""

    def __init__(self, world: World, broken: str = "") -> None:
        self.world, self.broken = world, broken


def admitted(world: World, rules: Rules, mover: Mover, index: int, *, modes: tuple[str, ...], epoch: int | None) -> str:
    """``Refused``, or what admitting this mover breaks."""
    shard = world.shards[index]
    if shard.is_promoted and rules.timeline:
        raise Refused
    if shard.mode not in modes or (epoch is not None and shard.epoch != epoch):
        raise Refused
    if mover.move.token >= shard.token:
        return ""
    if rules.tokens:
        raise Refused
    return OLD_TOKEN


def set_ownership(
    world: World,
    rules: Rules,
    mover: Mover,
    index: int,
    *,
    modes: tuple[str, ...],
    from_epoch: int | None,
    is_locked: bool = True,
    **changes: object,
) -> Outcome:
    """Compare-and-set of the row under the exclusive lock: it waits for open writers."""
    broken = admitted(world, rules, mover, index, modes=modes, epoch=from_epoch)
    if is_locked and world.is_written_on(index):
        raise Refused
    shard = world.shards[index]
    facts: dict[str, Any] = {"token": max(shard.token, mover.move.token), **changes}
    if world.failovers:
        facts["standby"] = shard._replace(standby=None)
    return Outcome(world.with_shard(index, shard._replace(**facts)), broken)


def change_rows(
    world: World, rules: Rules, mover: Mover, index: int, *, mode: str, epoch: int, **changes: object
) -> Outcome:
    """Rows or log of a shard, changed by a mover that the shard lets in."""
    broken = admitted(world, rules, mover, index, modes=(mode,), epoch=epoch)
    return Outcome(world.with_shard(index, world.shards[index]._replace(**changes)), broken)  # type: ignore[arg-type]


def read_log(shard: Shard, reader: Shard, rules: Rules) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """One snapshot: the ids of the log, and the rows they name as they are now. ``reader`` has the mutant's cursor."""
    entries = [(number, key) for number, key in shard.log if rules.exact_ids or number > reader.cursor]
    keys = sorted({key for _, key in entries})
    return tuple(number for number, _ in entries), tuple((key, shard.rows[key]) for key in keys)


def applied(shard: Shard, ids: tuple[int, ...], delta: tuple[tuple[int, int], ...]) -> dict[str, Any]:
    rows = shard.rows
    for key, value in delta:
        rows = replaced(rows, key, value)
    return {"rows": rows, "cursor": max((shard.cursor, *ids))}


def forgotten(shard: Shard, ids: tuple[int, ...], rules: Rules) -> dict[str, Any]:
    """Exactly these entries; with a cursor, all up to the last of them."""
    last = max(ids, default=0)
    return {"log": tuple(entry for entry in shard.log if (entry[0] not in ids if rules.exact_ids else entry[0] > last))}


def is_owner(shard: Shard, epoch: int) -> bool:
    return shard.mode == OWNER and shard.epoch == epoch


EMPTY = (NO_ROW, NO_ROW)
