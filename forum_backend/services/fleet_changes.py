"""Shards that come and go: added once they are checked, drained by moves, removed once nothing lives there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.models import Q

from forum_backend.data.control.directory.models import ForumPlacement, Shard
from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import Invalid, NotFound, ShardRefused
from forum_backend.domain.moves import RUNNING, MoveState, OwnershipMode
from forum_backend.queries.shards import shard_shape
from forum_backend.services.doctor.schema import read_schema, unguarded
from forum_backend.services.doctor.server import OLDEST_VERSION
from forum_backend.services.ownership import Limits, connected
from forum_backend.services.schema import WAITING, migrate_shard
from forum_backend.services.status_events import record_status
from routers.addresses import ALIAS, connection_parameters, without_password
from routers.fanout import fan_out
from routers.limited import LimitedConnection
from routers.registry import registry

# A forum whose creation was begun so long ago, and never finished, is not coming any more.
CREATION_LIMIT = timedelta(days=1)

_IDENTITY = (
    "SELECT (SELECT system_identifier FROM pg_control_system()), current_database(),"
    " current_setting('server_version_num')::int / 10000"
)
_LOCK = "SELECT pg_advisory_xact_lock(1178946636)"  # of the control database


@dataclass(frozen=True, slots=True)
class Identity:
    """Which database of which server this is, whatever the way to it."""

    server: int
    database: str
    version: int


def add_shard(*, name: str, dsn: str, now: datetime) -> Shard:
    """Take a database into the fleet: checked, migrated, checked again, then entered in the registry.

    Running processes read the registry every few seconds, and at once when the directory names a shard they do not
    know. Raises ``Invalid`` for a name or address that is none, ``ShardRefused`` for a database that will not do.
    """
    address = _checked_address(name, dsn)
    with _one_at_a_time():
        _refuse_known(name, address)
        _bring_up(name, dsn)
        return _enter(name, address, now=now)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two that are added at once would take no notice of each other: of the name, nor of being the same database."""
    with LimitedConnection.open("default", local=WAITING) as connection, connection.transaction():
        connection.execute(_LOCK)
        yield


def _refuse_known(name: str, address: str) -> None:
    known = Shard.objects.filter(pk=name).first()
    if known is not None and known.state != Shard.State.REMOVED:
        raise ShardRefused(f"There is a shard {name} already")
    if known is not None and known.dsn != address:
        raise ShardRefused(f"Another database had the name {name} before; redirects still use it: choose another name")


def _bring_up(name: str, dsn: str) -> None:
    """Make the database a shard that only this process knows; undone if it will not do."""
    registry.refresh()  # the new one is compared with all others
    registry.add({name: dsn})
    try:
        _check_server(name)
        state = migrate_shard(name)
        if not state.is_current:
            raise ShardRefused(f"{name} was not migrated: {state.error or 'migrations are missing'}")
        _check_tables(name)
    except BaseException as error:
        _forget(name)
        if isinstance(error, (DatabaseError, InterfaceError, psycopg.Error)):
            raise ShardRefused(f"{name} does not answer as it should: {_first_line(error)}") from error
        raise


def _checked_address(name: str, dsn: str) -> str:
    """The address as the registry keeps it: without a password."""
    if not ALIAS.match(name):
        raise Invalid(f"{name[:40]!r} is no name for a shard", fields={"name": "such as shard_03"})
    try:
        parameters = connection_parameters(dsn)
    except ImproperlyConfigured as error:
        raise Invalid(str(error), fields={"dsn": "postgresql://…"}) from error
    if "password" in parameters and parameters["password"] != os.environ.get("SHARD_PASSWORD", ""):
        raise ShardRefused("The registry keeps no passwords: give every process this one as SHARD_PASSWORD first")
    return without_password(dsn)


def _check_server(name: str) -> None:
    """New enough, and no database that the fleet uses already."""
    mine = _identity(name)
    if mine.version < OLDEST_VERSION:
        raise ShardRefused(f"{name} is PostgreSQL {mine.version}; {OLDEST_VERSION} is the oldest that will do")
    others = ["default", "profiles", *(alias for alias in registry.aliases() if alias != name)]
    for other, identity in fan_out(_identity, shards=others).answers.items():
        if identity == mine:
            raise ShardRefused(f"{name} is the database of {other}")


def _identity(alias: str) -> Identity:
    with connections[alias].cursor() as cursor:
        cursor.execute(_IDENTITY)
        return Identity(*cursor.fetchone())


def _check_tables(name: str) -> None:
    """Every table is guarded, and nobody's forums are in them: a shard that is added is empty."""
    with connected(name, Limits()) as connection:
        found = [finding.found for finding in unguarded(name, read_schema(connection))]
    if found:
        raise ShardRefused(f"Triggers of {name} were changed by hand. {'; '.join(found)}")
    living = _owned_on(name)
    if living:
        raise ShardRefused(f"{name} holds forums already, such as {living[0]}")


def _owned_on(alias: str) -> list[int]:
    """Forums that live or arrive on a shard, by its own word; those that were deleted do not count."""
    alive = [OwnershipMode.OWNER, OwnershipMode.FENCED, OwnershipMode.INCOMING]
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT o.forum_id FROM ownership o LEFT JOIN forum f ON f.forum_id = o.forum_id"
            " WHERE o.mode = ANY(%s) AND f.is_deleted IS NOT TRUE ORDER BY 1 LIMIT 10",
            [[str(mode) for mode in alive]],
        )
        return [forum for (forum,) in cursor.fetchall()]


def _forget(name: str) -> None:
    """Nobody but this process knew the shard; a second try may come with another address."""
    registry.drop([name])
    connections[name].close()
    del connections[name]
    connections.databases.pop(name, None)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _enter(name: str, address: str, *, now: datetime) -> Shard:
    with transaction.atomic(using="default"):
        shard, _ = Shard.objects.update_or_create(
            name=name, defaults={"dsn": address, "state": Shard.State.ACTIVE, "placed_since": 0}
        )
        record_status(type="shard.added", data=shard_shape(shard), now=now)
    return shard


def drain_shard(*, name: str, now: datetime) -> Shard:
    """No new forums for this shard, and its own leave: beat plans and applies moves until none is left."""
    with transaction.atomic(using="default"):
        shard = _locked(name)
        if not Shard.objects.filter(state=Shard.State.ACTIVE).exclude(pk=name).exists():
            raise ShardRefused(f"{name} is the only shard that takes forums: there is nowhere to go")
        _set_state(shard, Shard.State.DRAINING, now=now)
    return shard


def stop_draining(*, name: str, now: datetime) -> Shard:
    """The shard takes forums again; moves that were asked for go on."""
    with transaction.atomic(using="default"):
        shard = _locked(name)
        _set_state(shard, Shard.State.ACTIVE, now=now)
    return shard


def remove_shard(*, name: str, now: datetime) -> Shard:
    """Take an empty, drained shard out of use. ``ShardRefused`` says what still keeps it."""
    with transaction.atomic(using="default"):
        shard = _locked(name)
        if shard.state != Shard.State.DRAINING:
            raise ShardRefused(f"{name} is {shard.state}: drain it first")
        _refuse_if_used(name, now=now)
        _set_state(shard, Shard.State.REMOVED, now=now)
    registry.drop([name])
    return shard


def _refuse_if_used(name: str, *, now: datetime) -> None:
    finished = Q(is_ready=True) | Q(created_at__gt=now - CREATION_LIMIT)
    living = ForumPlacement.objects.filter(finished, shard_id=name, deleted_at=None).count()
    if living:
        raise ShardRefused(f"{living} forums live on {name}")
    move = Move.objects.filter(Q(source_id=name) | Q(target_id=name), state__in=sorted(RUNNING)).first()
    if move is not None:
        raise ShardRefused(
            f"Move {move.pk} from {move.source_id} to {move.target_id} is {move.state}: wait for its end"
        )
    left = Move.objects.filter(state=MoveState.ABORTED, has_leftovers=True, target_id=name).first()
    if left is not None:
        raise ShardRefused(f"Rows that move {left.pk} had copied are being deleted from {name}: wait for its end")
    answers = fan_out(_owned_on, shards=[registry.ensure(name)]).answers
    if name not in answers:
        raise ShardRefused(f"{name} does not answer: nobody can say that nothing lives there")
    if answers[name]:
        raise ShardRefused(f"{name} says that forums live there, such as {answers[name][0]}")


def _locked(name: str) -> Shard:
    shard = Shard.objects.select_for_update().filter(pk=name).exclude(state=Shard.State.REMOVED).first()
    if shard is None:
        raise NotFound("shard", name)
    return shard


def _set_state(shard: Shard, state: Shard.State, *, now: datetime) -> None:
    if shard.state != state:
        shard.state = state
        shard.save(update_fields=["state"])
        record_status(type=f"shard.{state}", data=shard_shape(shard), now=now)
