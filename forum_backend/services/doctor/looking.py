"""What a doctor reads of one shard, on a connection as a mover would open one: fresh, with time limits."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import psycopg

from forum_backend.services.doctor.directory import NOTHING_OWNED, Owned, read_owned
from forum_backend.services.doctor.leftovers import Traces, read_traces
from forum_backend.services.doctor.schema import Schema, lacking, read_schema
from forum_backend.services.doctor.server import ServerFacts, read_server
from forum_backend.services.doctor.sessions import LONG_S, NO_SESSIONS, Sessions, read_sessions
from forum_backend.services.ownership import CONNECT_TIMEOUT_S
from routers.limited import LimitedConnection
from routers.refusals import is_connection_lost
from routers.registry import registry

TIME_LIMIT_S = 10.0
QUICK_S = 3.0
STATEMENT_MS = 8_000

_pool = ThreadPoolExecutor(16, thread_name_prefix="doctor")


@dataclass(frozen=True, slots=True)
class Seen:
    """One shard as it was found."""

    server: ServerFacts
    schema: Schema
    sessions: Sessions
    traces: tuple[Traces, ...]
    owned: Owned


@dataclass(frozen=True, slots=True)
class Looked[T]:
    """What was seen, by shard; the shards that did not answer; and why others could not be read."""

    seen: dict[str, T]
    silent: list[str]
    unread: dict[str, str]


def look_at(
    shards: Iterable[str], *, forum: int | None = None, long_s: float = LONG_S, time_limit_s: float = TIME_LIMIT_S
) -> Looked[Seen]:
    """All shards at once, each within a time limit; of one forum, or of all that need a look."""

    def look(connection: psycopg.Connection) -> Seen:
        server, schema = read_server(connection), read_schema(connection)
        if lacking(schema):
            return Seen(
                server, schema, NO_SESSIONS, (), NOTHING_OWNED
            )  # the rest asks for tables that may not be there
        return Seen(
            server,
            schema,
            read_sessions(connection, forum=forum, long_s=long_s),
            read_traces(connection, forum=forum),
            read_owned(connection, forum=forum),
        )

    return _looked(look, shards, time_limit_s=time_limit_s)


def look_quickly(shards: Iterable[str]) -> Looked[tuple[ServerFacts, Schema]]:
    """Only what takes milliseconds whatever the shard holds."""
    return _looked(lambda connection: (read_server(connection), read_schema(connection)), shards, time_limit_s=QUICK_S)


def _looked[T](look: Callable[[psycopg.Connection], T], shards: Iterable[str], *, time_limit_s: float) -> Looked[T]:
    """Not by the ways of readers, who leave a shard alone for a moment after a failure: a doctor tries, and tells."""
    futures = {shard: _pool.submit(_read, look, shard) for shard in shards}
    wait(futures.values(), timeout=time_limit_s)
    looked: Looked[T] = Looked({}, [], {})
    for shard, future in futures.items():
        error = future.exception() if future.done() else None
        if not future.done() or is_connection_lost(error or Exception()):
            future.cancel()
            looked.silent.append(shard)
        elif isinstance(error, psycopg.Error):
            looked.unread[shard] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        else:
            looked.seen[shard] = future.result()
    return looked


def _read[T](look: Callable[[psycopg.Connection], T], shard: str) -> T:
    with _connected(shard) as connection:
        return look(connection)


def _connected(shard: str) -> psycopg.Connection:
    """Without settings of its own but limits: what is read of the server is what a new connection gets."""
    return LimitedConnection.open(
        registry.ensure(shard),
        local={"statement_timeout": f"{STATEMENT_MS}ms", "lock_timeout": "1s"},
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name="forum_doctor",
    )
