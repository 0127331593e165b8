"""Who owns a forum after a server was replaced by a standby that may have forgotten the last change: pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from forum_backend.domain.errors import Ownership
from forum_backend.domain.moves import OwnershipMode

SERVED = frozenset({OwnershipMode.OWNER, OwnershipMode.FENCED})


@dataclass(frozen=True, slots=True)
class Settlement:
    """The shard that owns the forum from now on, and the rows that have to change, by shard; None: nobody has it."""

    owner: str | None
    changes: dict[str, Ownership]


def settle(rows: Mapping[str, Ownership], *, promoted: str, holders: frozenset[str]) -> Settlement:
    """Decide from the rows of all shards that know the forum. ``promoted`` may be behind; the others are not.

    ``holders``: shards that have the forum's rows still. Another shard that owns it goes on to own it. Otherwise the
    promoted one does, if it did when its standby last heard. If it has forgotten that it was to own the forum, the one
    that sent it there takes it back, at an epoch above all that were given out.
    """
    elsewhere = [shard for shard, row in rows.items() if shard != promoted and row.mode == OwnershipMode.OWNER]
    if elsewhere:
        owner = max(elsewhere, key=lambda shard: rows[shard].epoch)
        epoch = rows[owner].epoch
    elif promoted in rows and rows[promoted].mode in SERVED:
        owner, epoch = promoted, highest(rows)
    else:
        senders = [shard for shard, row in rows.items() if _sent(row, shard, promoted) and shard in holders]
        if not senders:
            return Settlement(None, {})
        owner, epoch = max(senders, key=lambda shard: rows[shard].epoch), highest(rows) + 1
    wanted = {shard: _as_seen_from(row, owner, epoch) for shard, row in rows.items() if shard != owner}
    wanted[owner] = Ownership(OwnershipMode.OWNER, epoch)
    return Settlement(owner, {shard: row for shard, row in wanted.items() if not _is_same(rows[shard], row)})


def highest(rows: Mapping[str, Ownership]) -> int:
    """The highest epoch that anybody has heard of."""
    return max(max(row.epoch, row.went_epoch or 0) for row in rows.values())


def _sent(row: Ownership, shard: str, promoted: str) -> bool:
    return shard != promoted and row.mode in (OwnershipMode.DEPARTED, OwnershipMode.FENCED) and row.went_to == promoted


def _as_seen_from(row: Ownership, owner: str, epoch: int) -> Ownership:
    """What a shard that does not own the forum has to say of it."""
    if row.mode == OwnershipMode.INCOMING:
        return replace(row, mode=OwnershipMode.ABORTED)
    if row.mode in SERVED:
        return Ownership(OwnershipMode.DEPARTED, row.epoch, owner, epoch)
    if row.mode == OwnershipMode.DEPARTED and (row.went_epoch or 0) < epoch and row.went_to != owner:
        return Ownership(OwnershipMode.DEPARTED, row.epoch, owner, epoch)
    return row


def _is_same(before: Ownership, after: Ownership) -> bool:
    if after.mode == OwnershipMode.OWNER:
        return (before.mode, before.epoch) == (after.mode, after.epoch)
    return before == after
