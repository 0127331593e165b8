"""What a shard's server is and how it is set: version, encoding, isolation, whether it takes writes, room on its disk.

A table owner may not ask PostgreSQL where its data is. A server on this machine can be known all the same: its backend
works in the data directory, whose pg_control carries the identifier that the server names.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psycopg

from forum_backend.domain.findings import Finding, Severity

OLDEST_VERSION = 15
MEGABYTE = 1024 * 1024
# Whatever is copied: less than this is no state for a server to be in.
LEAST_FREE = 256 * MEGABYTE
# Rows and indexes, and the log of writing them.
SPACE_FACTOR = 2

_FACTS = """
SELECT current_setting('server_version_num')::int / 10000, pg_encoding_to_char(d.encoding),
       d.datcollate || ', ' || d.datctype,
       d.datcollversion IS DISTINCT FROM pg_database_collation_actual_version(d.oid),
       current_setting('default_transaction_isolation'), current_setting('TimeZone'),
       pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool,
       current_setting('session_replication_role'),
       (SELECT system_identifier FROM pg_control_system()), pg_backend_pid(),
       to_regclass('shard_server') IS NOT NULL,
       inet_server_addr() IS NULL OR inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1'
FROM pg_database d WHERE d.datname = current_database()
"""


class ServerFacts(NamedTuple):
    """As a new connection of this service finds them; ``free`` bytes None: not known."""

    version: int
    encoding: str
    collation: str
    is_collation_outdated: bool
    isolation: str
    time_zone: str
    is_read_only: bool
    replication_role: str
    free: int | None
    is_replaced: bool


def read_server(connection: psycopg.Connection) -> ServerFacts:
    """One question, and a look at the disk if it is one of this machine."""
    row = connection.execute(_FACTS).fetchone()
    if row is None:
        raise AssertionError("a server always knows its own database")
    *facts, identifier, pid, has_sign, is_local = row
    free = _free_on_disk(identifier, pid) if is_local else None
    return ServerFacts._make((*facts, free, has_sign and _is_replaced(connection)))


def _is_replaced(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT timeline IS DISTINCT FROM shard_timeline() FROM shard_server").fetchone()
    return row is None or bool(row[0])


def _free_on_disk(identifier: int, pid: int) -> int | None:
    """Free bytes where the server keeps its data; None if that directory cannot be told for sure."""
    directory = Path("/proc", str(pid), "cwd")
    try:
        control = (directory / "global" / "pg_control").open("rb")
        with control:
            if int.from_bytes(control.read(8), sys.byteorder) != identifier & (2**64 - 1):
                return None
        room = os.statvfs(directory)
    except OSError:
        return None  # another machine, another system, or not ours to see
    return room.f_bavail * room.f_frsize


def unfit(shard: str, facts: ServerFacts, *, needed: int = 0) -> Iterator[Finding]:
    """What one server cannot be used with. ``needed``: bytes that a move brings."""
    for is_so, code, found, advice in (
        (facts.version < OLDEST_VERSION, "version_too_old", f"PostgreSQL {facts.version}",
         f"{OLDEST_VERSION} is the oldest that will do"),
        (facts.is_read_only, "read_only", "The server takes no writes: a standby, or default_transaction_read_only",
         "Let the shard's address lead to its primary"),
        (facts.is_replaced, "not_reconciled", "A promoted standby, or restored: it refuses writers and movers",
         f"manage.py shards reconcile {shard}"),
        (facts.isolation != "read committed", "isolation", f"default_transaction_isolation is {facts.isolation}",
         "Reset it for this role and database: a forum is entered under READ COMMITTED only"),
        (facts.replication_role != "origin", "triggers_bypassed",
         f"session_replication_role is {facts.replication_role}: no guard and no capture runs",
         "Reset it for this role and database"),
    ):  # fmt: skip
        if is_so:
            yield Finding(code=code, severity=Severity.STOPS, shard=shard, found=found, advice=advice)
    yield from _noted(shard, facts)
    yield from _room(shard, facts.free, needed=needed)


def _noted(shard: str, facts: ServerFacts) -> Iterator[Finding]:
    if facts.is_collation_outdated:
        yield Finding(
            code="collation_version", severity=Severity.NOTE, shard=shard,
            found="The system's collation is not the one that indexes on text were made with",
            advice="REINDEX, then ALTER DATABASE … REFRESH COLLATION VERSION",
        )  # fmt: skip
    if facts.time_zone.upper() not in {"UTC", "ETC/UTC", "GMT"}:
        yield Finding(
            code="time_zone", severity=Severity.NOTE, shard=shard, found=f"The server's time zone is {facts.time_zone}",
            advice="Nothing: movers and processes set UTC; what is asked by hand is shown otherwise",
        )  # fmt: skip


def _room(shard: str, free: int | None, *, needed: int) -> Iterator[Finding]:
    wanted = max(LEAST_FREE, needed * SPACE_FACTOR)
    if free is None:
        yield Finding(
            code="room_unknown", severity=Severity.NOTE, shard=shard,
            found="Room on its disk is not known: a table owner cannot ask a server on another machine",
            advice=f"See that {wanted // MEGABYTE:,} MB are free there",
        )  # fmt: skip
    elif free < wanted:
        yield Finding(
            code="no_room", severity=Severity.STOPS, shard=shard,
            found=f"{free // MEGABYTE:,} MB are free on its disk; {wanted // MEGABYTE:,} MB are wanted",
            advice="Make room, or choose another shard",
        )  # fmt: skip


def unlike(servers: Mapping[str, ServerFacts], *, like: str | None = None) -> Iterator[Finding]:
    """Servers that differ from ``like``, or from the first."""
    if len(servers) < 2:
        return
    first = like or min(servers)
    model = servers[first]
    for shard, facts in servers.items():
        for code, severity, mine, theirs in (
            ("encoding_differs", Severity.STOPS, facts.encoding, model.encoding),
            ("collation_differs", Severity.NOTE, facts.collation, model.collation),
            ("version_differs", Severity.NOTE, f"PostgreSQL {facts.version}", f"PostgreSQL {model.version}"),
        ):
            if mine != theirs:
                yield Finding(
                    code=code, severity=severity, shard=shard, found=f"{mine}, and {first} has {theirs}",
                    advice="Make the database anew with the same encoding" if severity is Severity.STOPS
                    else "Nothing, as long as it is meant to be so",
                )  # fmt: skip
