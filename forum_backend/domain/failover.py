"""Who owns a forum after a server was replaced by a standby that may have forgotten the last changes: pure.

An epoch is served by one shard only, so the highest one that anybody served says whose rows are the newest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from forum_backend.domain.errors import Ownership
from forum_backend.domain.moves import OwnershipMode

SERVES = frozenset({OwnershipMode.OWNER, OwnershipMode.FENCED})
SERVED = SERVES | {OwnershipMode.DEPARTED}


@dataclass(frozen=True, slots=True)
class Settlement:
    """The shard that owns the forum from now on, and the rows that have to change, by shard; None: nobody has it."""

    owner: str | None
    changes: dict[str, Ownership]


def settle(rows: Mapping[str, Ownership], *, holders: frozenset[str], known_epoch: int) -> Settlement:
    """Decide from the rows of all shards that know the forum; the promoted one's may be behind by any number of moves.

    ``known_epoch``: the directory's, for servers that were replaced together may have forgotten it together.
    Of those that serve it, or left it and are among ``holders`` (they have all its rows still), the one that served
    last owns it: as before if it does and nobody did since, else at an epoch above all that were given out.
    """
    departed = {shard for shard, row in rows.items() if row.mode == OwnershipMode.DEPARTED}
    candidates = [shard for shard, row in rows.items() if row.mode in SERVES or shard in departed & holders]
    if not candidates:
        return Settlement(None, {})
    owner = max(candidates, key=lambda shard: (rows[shard].epoch, rows[shard].mode in SERVES))
    goes_on = rows[owner].mode == OwnershipMode.OWNER and not _is_outdated(owner, rows, known_epoch)
    epoch = rows[owner].epoch if goes_on else max(known_epoch, _highest(rows.values())) + 1
    wanted = {shard: _as_seen_from(row, owner, epoch) for shard, row in rows.items() if shard != owner}
    wanted[owner] = Ownership(OwnershipMode.OWNER, epoch)
    return Settlement(owner, {shard: row for shard, row in wanted.items() if not _is_same(rows[shard], row)})


def is_disputed(rows: Mapping[str, Ownership], *, promoted: str, known_epoch: int) -> bool:
    """Whether something has to be settled before the promoted shard may open: no move of the forum runs with it."""
    serving = [shard for shard, row in rows.items() if row.mode in SERVES]
    if len(serving) != 1 or _is_outdated(serving[0], rows, known_epoch):
        return True
    # A fence on its way to another shard is its mover's business; what became of this one, the promoted shard forgot.
    row = rows[serving[0]]
    return row.mode == OwnershipMode.FENCED and promoted in (serving[0], row.went_to)


def _is_outdated(shard: str, rows: Mapping[str, Ownership], known_epoch: int) -> bool:
    """Whether the forum was served after this shard did, or sent somewhere at a higher epoch."""
    others = [row for name, row in rows.items() if name != shard and row.mode in SERVED]
    return max(known_epoch, _highest(others)) > rows[shard].epoch


def _highest(rows: Iterable[Ownership]) -> int:
    """The highest epoch that these have heard of."""
    return max((max(row.epoch, row.went_epoch or 0) for row in rows), default=0)


def _as_seen_from(row: Ownership, owner: str, epoch: int) -> Ownership:
    """What a shard that does not own the forum has to say of it."""
    if row.mode == OwnershipMode.INCOMING:
        return replace(row, mode=OwnershipMode.ABORTED)
    if row.mode in SERVES or (row.mode == OwnershipMode.DEPARTED and row.went_to != owner):
        return Ownership(OwnershipMode.DEPARTED, row.epoch, owner, epoch)
    return row


def _is_same(before: Ownership, after: Ownership) -> bool:
    if after.mode == OwnershipMode.OWNER:
        return (before.mode, before.epoch) == (after.mode, after.epoch)
    return before == after
