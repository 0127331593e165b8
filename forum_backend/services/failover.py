"""A shard whose server was replaced by a standby, or restored: its ownership is compared with everybody else's.

Until then it takes no writes (``failover.sql``). What replication had not brought over yet is lost, that is its promise
to keep; what is decided here is that no forum is owned twice, and none by nobody.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

import psycopg
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from forum_backend.data.control.directory.models import ForumPlacement, Shard
from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import NotFound, Ownership, TokenRefused
from forum_backend.domain.failover import Settlement, is_disputed, settle
from forum_backend.domain.moves import RUNNING, SETTLED, MoveState, OwnershipMode
from forum_backend.queries.moves import move_shape
from forum_backend.services.move_recovery import unavailable
from forum_backend.services.moves import next_token
from forum_backend.services.ownership import (
    Change,
    Limits,
    OwnershipRefused,
    connect,
    raise_token,
    refusals,
    set_ownership,
)
from forum_backend.services.status_events import record_status
from forum_backend.services.waking import tell_directories
from routers.directory import Location, directory

logger = logging.getLogger(__name__)

LIMITS = Limits(lock_ms=5_000, statement_ms=60_000, idle_ms=60_000)
CHUNK = 5_000
LOG_CHUNK = 20_000

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
_CLAIM = "SELECT forum_raise_token(forum_id, %s) FROM ownership WHERE forum_id = %s AND mode <> 'aborted'"
_HOLDS = "SELECT EXISTS (SELECT FROM forum WHERE forum_id = %s)"
_HOLDS_LAST_EVENT = (
    "SELECT EXISTS (SELECT FROM forum_counters c JOIN forum_event e ON e.id = (c.last_number << 23) | c.forum_id "
    "WHERE c.forum_id = %s)"
)
_FORGET = "DELETE FROM changed_row WHERE id IN (SELECT id FROM changed_row WHERE forum_id = %s LIMIT %s)"
_MAY_DELETE = sorted((MoveState.REVERSIBLE, MoveState.CLEANED))


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
        running = Move.objects.filter(Q(source_id=name) | Q(target_id=name), state__in=sorted(RUNNING))
        for forum in dict.fromkeys(running.order_by("pk").values_list("forum_id", flat=True)):
            _settle_forum(fleet, forum, found, now=now)
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
        self._is_open: dict[str, bool] = {}

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

    def is_open(self, shard: str) -> bool:
        """Whether the shard takes writes; another one may wait to be reconciled too, and can be told all the same."""
        if shard not in self._is_open:
            self._is_open[shard] = self.rows(shard, "SELECT shard_is_reconciled()", ())[0][0]
        return self._is_open[shard]

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
    """Of these, the ones that cannot be left as they are when the shard opens."""
    forums = list(dict.fromkeys(forums))
    words = {shard: fleet.ownership(shard, forums) for shard in fleet.names}
    known = dict(ForumPlacement.objects.filter(pk__in=forums).values_list("pk", "epoch"))

    def is_in_doubt(forum: int) -> bool:
        rows = {shard: rows[forum] for shard, rows in words.items() if forum in rows}
        return is_disputed(rows, promoted=name, known_epoch=known.get(forum, 0))

    return [forum for forum in forums if is_in_doubt(forum)]


def _settle_forum(fleet: _Fleet, forum: int, found: Reconciliation, *, now: datetime) -> None:
    """Moves of the forum are taken over and ended; the others hear of it, then who is to own it, then the promoted one.

    Nobody may own it while another one still does, or could be made to by a mover that is thought dead.
    """
    token, moves = _take_over(forum)
    _refuse_movers(fleet, forum, token=token)
    rows = {shard: row for shard in fleet.names if (row := fleet.ownership(shard, [forum]).get(forum)) is not None}
    known = ForumPlacement.objects.values_list("epoch", flat=True).get(pk=forum)
    settlement = settle(rows, holders=_holders(fleet, forum, rows), known_epoch=known)
    if settlement.owner is None:
        if forum not in found.lost:  # it may be found by its move, and by the directory
            found.lost.append(forum)
        return
    # The owner and the promoted one also where nothing differs: movers of before are refused, their log is gone.
    heard = {settlement.owner, found.shard, *settlement.changes} & rows.keys()
    for shard in sorted(heard, key=lambda shard: (shard == found.shard, shard == settlement.owner, shard)):
        row = settlement.changes.get(shard, rows[shard])
        _write(fleet, shard, forum, was=rows[shard], row=row, token=token)
    if settlement.changes:
        found.changed[forum] = settlement.owner
    _tell(forum, settlement, rows)
    for move in moves:
        _end(move, settlement.owner, found, now=now)


def _take_over(forum: int) -> tuple[int, list[Move]]:
    """The forum's moves, all in our hands: a token above theirs, and a lease, so that beat leaves them alone."""
    with transaction.atomic(using="default"):
        token = next_token(forum)
        moves = list(Move.objects.select_for_update(no_key=True).filter(forum_id=forum, state__in=sorted(RUNNING)))
        for move in moves:
            move.token = token
            move.leased_until = timezone.now() + timedelta(seconds=settings.MOVE_LEASE_S)
            move.save(update_fields=["token", "leased_until"])
    return token, moves


def _refuse_movers(fleet: _Fleet, forum: int, *, token: int) -> None:
    """What shards say from here on holds: no mover of before can change it. Those that are closed obey none anyway."""
    for shard in fleet.names:
        if fleet.is_open(shard):
            with refusals():
                fleet.rows(shard, _CLAIM, (token, forum))


def _holders(fleet: _Fleet, forum: int, rows: dict[str, Ownership]) -> frozenset[str]:
    """Shards with all rows of the forum: none is deleted before a move says so, and the last event goes first."""
    ended = Move.objects.filter(forum_id=forum, state__in=_MAY_DELETE, reversible_until=None)
    deleting = set(ended.values_list("source_id", "epoch"))
    return frozenset(
        shard
        for shard, row in rows.items()
        if fleet.rows(shard, _HOLDS_LAST_EVENT if (shard, row.epoch) in deleting else _HOLDS, (forum,))[0][0]
    )


def _write(fleet: _Fleet, shard: str, forum: int, *, was: Ownership, row: Ownership, token: int) -> None:
    connection = fleet.at(shard)
    with unavailable(shard):
        if not fleet.is_open(shard):
            with refusals():
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
        with suppress(OwnershipRefused):  # somebody moves the forum again by now: the log is theirs
            while _forget_log(connection, forum=forum, token=token) == LOG_CHUNK:
                pass


def _forget_log(connection: psycopg.Connection, *, forum: int, token: int) -> int:
    """Delete some entries of a log that nobody reads any more, unless a later mover writes it; how many there were."""
    with connection.transaction():
        raise_token(connection, forum=forum, token=token)
        return connection.execute(_FORGET, (forum, LOG_CHUNK)).rowcount


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
        if not Move.objects.filter(pk=move.pk, token=move.token).update(**changes):
            raise TokenRefused(f"Move {move.pk} was taken over meanwhile: reconcile once more")
        record_status(type=f"move.{move.state}", data=move_shape(move), now=now, move_id=move.pk)
    found.moves_ended.append(move.pk)
