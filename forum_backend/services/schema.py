"""Bringing the tables of every database up to date: control first, then profiles and all shards at once."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, InterfaceError, connections
from django.db.migrations.executor import MigrationExecutor

from forum_backend.data.control.directory.models import Shard
from routers.addresses import without_password
from routers.limited import LimitedConnection
from routers.registry import registry

AT_ONCE = 8
# For who waits until another one has migrated, and while this one does.
WAITING = {"statement_timeout": "0", "lock_timeout": "30min", "idle_in_transaction_session_timeout": "0"}


@dataclass(frozen=True, slots=True)
class SchemaState:
    """One database: the migrations it lacks by name, and the error that kept it from being migrated or asked."""

    alias: str
    missing: tuple[str, ...] = ()
    error: str = ""

    @property
    def is_current(self) -> bool:
        return not self.missing and not self.error


def schema_states() -> list[SchemaState]:
    """What each database lacks; one that does not answer is reported, not raised."""
    _learn_shards()
    return _on_all([*_unsharded(), *registry.aliases()], _state, lambda _state: None)


def _learn_shards() -> None:
    """The environment has the shards of the beginning only; while the control database is away they have to do."""
    try:
        registry.refresh()
    except (DatabaseError, InterfaceError):
        connections["default"].close()


def migrate_everything(progress: Callable[[SchemaState], None]) -> list[SchemaState]:
    """Migrate all databases and enter the environment's shards in the registry; calls ``progress`` for each one done.

    A shard that fails is reported as behind and does not keep the others from going on.
    """
    states = _on_all(["default"], _migrate, progress)
    if all(state.is_current for state in states):
        _register_shards()
        registry.refresh()
        states += _on_all(["profiles", *registry.aliases()], _migrate, progress)
    return states


def migrate_shard(alias: str) -> SchemaState:
    """Migrate one shard that this process knows already."""
    return _and_close(_migrate, alias)


def _unsharded() -> list[str]:
    return ["default", "profiles"]


def _on_all(
    aliases: list[str], work: Callable[[str], SchemaState], progress: Callable[[SchemaState], None]
) -> list[SchemaState]:
    states = {}
    with ThreadPoolExecutor(min(AT_ONCE, len(aliases)), thread_name_prefix="schema") as pool:
        futures = {pool.submit(_and_close, work, alias): alias for alias in aliases}
        for future in as_completed(futures):
            state = future.result()
            states[state.alias] = state
            progress(state)
    return [states[alias] for alias in aliases]


def _and_close(work: Callable[[str], SchemaState], alias: str) -> SchemaState:
    try:
        return work(alias)
    except (DatabaseError, InterfaceError, psycopg.Error) as error:
        return SchemaState(alias, error=str(error).strip().splitlines()[0])
    finally:
        connections[alias].close()


def _state(alias: str) -> SchemaState:
    executor = MigrationExecutor(connections[alias])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return SchemaState(alias, missing=tuple(f"{migration.app_label}.{migration.name}" for migration, _ in plan))


def _migrate(alias: str) -> SchemaState:
    with _alone(alias), connections[alias].execute_wrapper(_without_time_limit):
        call_command("migrate", database=alias, interactive=False, verbosity=0, skip_checks=True)
        return _state(alias)


@contextmanager
def _alone(alias: str) -> Iterator[None]:
    """One migration of a database at a time. A transaction holds the lock: behind a pooler a session's would stay."""
    with LimitedConnection.open(alias, local=WAITING) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(1178946634)")
        yield


def _without_time_limit(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Mapping[str, Any]
) -> Any:
    """Before each statement of a migration: its transaction may take as long as it takes."""
    wrapper = context["connection"]
    if wrapper.in_atomic_block:
        wrapper.connection.execute("SET LOCAL statement_timeout = 0")
    return execute(sql, params, many, context)


def _register_shards() -> None:
    """The environment's addresses win over what the registry had: a server may have moved."""
    for name, address in settings.SHARD_ADDRESSES.items():
        Shard.objects.update_or_create(name=name, defaults={"dsn": without_password(address)})
