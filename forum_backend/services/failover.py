"""A shard whose server was replaced by a standby, or restored: its ownership is compared with everybody else's.

Until then it takes no writes (``failover.sql``). What replication had not brought over yet is lost, that is its promise
to keep; what is decided here is that no forum is owned twice, and none by nobody.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import batched
from typing import Any

import psycopg
from django.db import transaction

from forum_backend.data.control.directory.models import ForumPlacement, Shard
from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import NotFound, Ownership
from forum_backend.domain.failover import Settlement, settle
from forum_backend.domain.moves import RUNNING, SETTLED, MoveState, OwnershipMode
from forum_backend.queries.moves import move_shape
from forum_backend.services.move_recovery import unavailable
from forum_backend.services.moves import next_token
from forum_backend.services.ownership import Change, Limits, connect, set_ownership
from forum_backend.services.status_events import record_status
from forum_backend.services.waking import tell_directories
from routers.directory import Location, directory

logger = logging.getLogger(__name__)

LIMITS = Limits(lock_ms=5_000, statement_ms=60_000, idle_ms=60_000)
CHUNK = 5_000

_TIMELINES = "SELECT timeline, shard_timeline() FROM shard_server"
_ROWS = "SELECT forum_id, mode, epoch, went_to, went_epoch FROM ownership WHERE forum_id = ANY(%s)"
_SERVED = (
    "SELECT forum_id FROM ownership WHERE mode IN ('owner', 'fenced', 'incoming') AND forum_id > %s "
    "ORDER BY forum_id LIMIT %s"
)
_SENT_THERE = (
    "SELECT forum_id FROM ownership WHERE went_to = %s AND mode IN ('departed', 'fenced') AND forum_id > %s "
    "ORDER BY forum_id LIMIT %s"
)
_HOLDS = "SELECT EXISTS (SELECT FROM forum WHERE forum_id = %s)"


@dataclass(slots=True)
class Reconciliation:
    """What was found and done. ``lost``: forums whose rows no shard has; they stay closed."""

    shard: str
    was_needed: bool
    looked_at: int = 0
    changed: dict[int, str] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)
    moves_ended: list[int] = field(default_factory=list)

    def shape(self) -> dict[str, Any]:
        return {
            "shard": self.shard,
            "was_needed": self.was_needed,
            "looked_at": self.looked_at,
            "changed": {str(forum): owner for forum, owner in self.changed.items()},
            "lost": [str(forum) for forum in self.lost],
            "moves_ended": self.moves_ended,
        }


def reconcile_shard(*, name: str, now: datetime, tell: Callable[[int], None] = lambda _done: None) -> Reconciliation:
    """Compare a promoted shard's ownership with all others, settle what differs, let it take writes again.

    Safe to be broken off and begun anew: the shard opens at the very end. ``tell`` hears how many forums were looked
    at. ``NotFound`` for an unknown shard, ``ShardUnavailable`` if one that must be asked does not answer.
    """
    names = list(Shard.objects.exclude(state=Shard.State.REMOVED).order_by("pk").values_list("pk", flat=True))
    if name not in names:
        raise NotFound("shard", name)
    with _Fleet(names) as fleet:
        timelines = fleet.rows(name, _TIMELINES, ())[0]
        found = Reconciliation(name, was_needed=timelines[0] != timelines[1])
        if not found.was_needed:
            return found
        for move in Move.objects.filter(state__in=sorted(RUNNING)).order_by("pk"):
            if name in (move.source_id, move.target_id):
                _settle_forum(fleet, move.forum_id, found, now=now)
        for chunk in batched(_candidates(fleet, name), CHUNK):
            for forum in _disputed(fleet, name, chunk):
                _settle_forum(fleet, forum, found, now=now)
            found.looked_at += len(chunk)
            tell(found.looked_at)
        with unavailable(name):
            fleet.at(name).execute("SELECT shard_reconciled(%s)", (timelines[1],))
    record_status(type="shard.reconciled", data={"shard": found.shape()}, now=now)
    logger.warning(
        "A shard was reconciled", extra={"action": "reconcile", "shard": name, "changed": len(found.changed)}
    )
    return found


class _Fleet:
    """A connection to each shard, opened when it is needed."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self._open: dict[str, psycopg.Connection] = {}

    def __enter__(self) -> "_Fleet":
        return self

    def __exit__(self, *_error: object) -> None:
        for connection in self._open.values():
            connection.close()

    def at(self, shard: str) -> psycopg.Connection:
        if shard not in self._open:
            with unavailable(shard):
                self._open[shard] = connect(shard, LIMITS)
        return self._open[shard]

    def rows(self, shard: str, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        connection = self.at(shard)
        with unavailable(shard):
            return connection.execute(query.encode(), values).fetchall()

    def ownership(self, shard: str, forums: Iterable[int]) -> dict[int, Ownership]:
        return {forum: Ownership(*row) for forum, *row in self.rows(shard, _ROWS, (list(forums),))}


def _candidates(fleet: _Fleet, name: str) -> Iterator[int]:
    """Forums that the shard says it serves, that were sent there, or that the directory has there; some twice."""
    yield from _in_pages(lambda after: fleet.rows(name, _SERVED, (after, CHUNK)))
    for other in fleet.names:
        if other != name:
            yield from _in_pages(lambda after, shard=other: fleet.rows(shard, _SENT_THERE, (name, after, CHUNK)))  # type: ignore[misc]
    placed = ForumPlacement.objects.filter(shard_id=name, deleted_at=None).order_by("pk")
    yield from _in_pages(lambda after: list(placed.filter(pk__gt=after).values_list("pk")[:CHUNK]))


def _in_pages(read: Callable[[int], list[tuple[Any, ...]]]) -> Iterator[int]:
    after = -1
    while rows := read(after):
        for row in rows:
            yield row[0]
        after = rows[-1][0]


def _disputed(fleet: _Fleet, name: str, forums: Iterable[int]) -> list[int]:
    """Of these, the ones that the shard serves and another one too, or that it should serve and does not."""
    forums = list(forums)
    here = fleet.ownership(name, forums)
    owned = {
        forum
        for other in fleet.names
        if other != name
        for forum, row in fleet.ownership(other, forums).items()
        if row.mode == OwnershipMode.OWNER
    }
    return [
        forum
        for forum in dict.fromkeys(forums)
        if (forum in here and here[forum].mode == OwnershipMode.OWNER) == (forum in owned)
        or (forum in here and here[forum].mode == OwnershipMode.FENCED)
    ]


def _settle_forum(fleet: _Fleet, forum: int, found: Reconciliation, *, now: datetime) -> None:
    """Moves of the forum are taken over and ended; then the other shards hear of it, then the promoted one."""
    with transaction.atomic(using="default"):
        token = next_token(forum)
        moves = list(Move.objects.select_for_update(no_key=True).filter(forum_id=forum, state__in=sorted(RUNNING)))
        for move in moves:
            move.token = token
            move.save(update_fields=["token"])
    rows = {shard: row for shard in fleet.names if (row := fleet.ownership(shard, [forum]).get(forum)) is not None}
    holders = frozenset(shard for shard in rows if fleet.rows(shard, _HOLDS, (forum,))[0][0])
    settlement = settle(rows, promoted=found.shard, holders=holders)
    if settlement.owner is None:
        if forum not in found.lost:  # it may be found by its move, and by the directory
            found.lost.append(forum)
        return
    for shard, row in sorted(settlement.changes.items(), key=lambda change: change[0] == found.shard):
        _write(fleet, shard, forum, was=rows[shard], row=row, token=token, is_promoted=shard == found.shard)
    if found.shard in rows and found.shard not in settlement.changes:
        # Also where nothing differs: movers of before are refused, their log is gone.
        _write(fleet, found.shard, forum, was=rows[found.shard], row=rows[found.shard], token=token, is_promoted=True)
    if settlement.changes:
        found.changed[forum] = settlement.owner
    _tell(forum, settlement, rows)
    for move in moves:
        _end(move, settlement.owner, found, now=now)


def _write(
    fleet: _Fleet, shard: str, forum: int, *, was: Ownership, row: Ownership, token: int, is_promoted: bool
) -> None:
    connection = fleet.at(shard)
    with unavailable(shard):
        if is_promoted:
            connection.execute(
                "SELECT forum_reconcile(%s, %s, %s, %s, %s, %s)",
                (forum, token, row.mode, row.epoch, row.went_to, row.went_epoch),
            )
            return
        set_ownership(
            connection,
            Change(
                forum=forum, token=token, modes=(was.mode,), from_epoch=None, mode=OwnershipMode(row.mode),
                epoch=row.epoch, went_to=row.went_to, went_epoch=row.went_epoch,
                is_announced=row.mode != OwnershipMode.OWNER,
            ),
        )  # fmt: skip
        connection.execute("DELETE FROM changed_row WHERE forum_id = %s", (forum,))


def _tell(forum: int, settlement: Settlement, rows: dict[str, Ownership]) -> None:
    """The directory, and the processes that keep it in memory."""
    owner = settlement.owner
    if owner is None:
        return
    epoch = settlement.changes.get(owner, rows[owner]).epoch
    ForumPlacement.objects.filter(pk=forum).update(shard_id=owner, epoch=epoch)
    directory.correct(forum, Location(owner, epoch))
    tell_directories(forum, owner, epoch)


def _end(move: Move, owner: str, found: Reconciliation, *, now: datetime) -> None:
    """A move of before is over: its target has the forum, and old rows are left to delete; or it has not."""
    changes: dict[str, Any] = {"leased_until": None, "error": f"{found.shard} was replaced and reconciled"}
    if owner == move.target_id:
        changes |= {"state": MoveState.REVERSIBLE, "reversible_until": None}
    elif move.state in SETTLED:
        changes |= {"reversible_until": None}  # its clean-up is refused where the forum came back to
    else:
        changes |= {"state": MoveState.ABORTED, "finished_at": now, "has_leftovers": True}
    for field_name, value in changes.items():
        setattr(move, field_name, value)
    with transaction.atomic(using="default"):
        move.save(update_fields=list(changes))
        record_status(type=f"move.{move.state}", data=move_shape(move), now=now, move_id=move.pk)
    found.moves_ended.append(move.pk)
