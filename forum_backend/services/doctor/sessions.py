"""Who would hold a move up: long transactions, prepared ones, sessions that sit on a forum's lock.

Arming and the fence wait for every writer of the forum. Everybody may see who holds a lock; since when, a table owner
sees only of sessions of its own role.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from forum_backend.domain.findings import Finding, Severity

LONG_S = 60.0
IDLE_S = 5.0
MOST = 20

# The high half of forum_lock_key's number.
LOCK_CLASS = 1178946632
# One row a session that is worth a word: it holds a forum's lock (of the forum that is asked for, or of any) or it has
# had its transaction open for long. Prepared transactions hold locks without a process.
_SESSIONS = """
WITH held AS (
    SELECT pid, virtualtransaction, min(objid::bigint)::int AS forum FROM pg_locks
    WHERE locktype = 'advisory' AND classid = %(class)s AND objsubid = 1 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (%(forum)s::int IS NULL OR objid = %(forum)s::int) GROUP BY 1, 2
)
SELECT a.pid, a.usename::text, coalesce(a.state, ''), held.forum,
       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8,
       coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0)::float8
FROM pg_stat_activity a LEFT JOIN held ON held.pid = a.pid
WHERE a.datname = current_database() AND a.usename IS NOT NULL AND a.pid <> pg_backend_pid()
  AND a.application_name <> 'forum_mover'
  AND (held.forum IS NOT NULL OR a.xact_start < clock_timestamp() - make_interval(secs => %(long)s))
ORDER BY a.xact_start NULLS LAST LIMIT %(most)s
"""
_PREPARED = """
SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::float8, EXISTS (
    SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = %(class)s AND l.objsubid = 1 AND l.pid IS NULL
    AND l.granted AND (%(forum)s::int IS NULL OR l.objid = %(forum)s::int))
FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared LIMIT %(most)s
"""
_HIDDEN = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename <> current_user AND state IS NULL
"""


@dataclass(frozen=True, slots=True)
class Session:
    """``forum``: the one (or one of those) whose lock it holds. ``state`` is empty if we may not see it."""

    pid: int
    role: str
    state: str
    forum: int | None
    open_s: float
    still_s: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transaction that was prepared and waits to be committed by somebody."""

    name: str
    age_s: float
    holds_lock: bool


@dataclass(frozen=True, slots=True)
class Sessions:
    """``hidden``: sessions of other roles, of which only the locks can be seen."""

    sessions: tuple[Session, ...]
    prepared: tuple[Prepared, ...]
    hidden: int


NO_SESSIONS = Sessions((), (), 0)


def read_sessions(connection: psycopg.Connection, *, forum: int | None, long_s: float = LONG_S) -> Sessions:
    """Those who hold the forum's lock (None: any forum's), and whose transaction is older than ``long_s``."""
    asked = {"class": LOCK_CLASS, "forum": forum, "long": long_s, "most": MOST}
    sessions = tuple(Session(*row) for row in connection.execute(_SESSIONS, asked))
    prepared = tuple(Prepared(*row) for row in connection.execute(_PREPARED, asked))
    hidden = connection.execute(_HIDDEN).fetchone()
    return Sessions(sessions, prepared, hidden[0] if hidden else 0)


def in_the_way(shard: str, seen: Sessions, *, long_s: float = LONG_S) -> Iterator[Finding]:
    """What would hold a move up; a transaction that is open for a moment is how a writer works."""
    for session in seen.sessions:
        finding = _of_session(shard, session, long_s=long_s)
        if finding is not None:
            yield finding
    for prepared in seen.prepared:
        yield Finding(
            code="prepared_transaction", severity=Severity.STOPS if prepared.holds_lock else Severity.SLOWS,
            shard=shard, found=f"Transaction {prepared.name!r} has been prepared for {prepared.age_s:.0f} s",
            advice="COMMIT PREPARED or ROLLBACK PREPARED: nobody else ends it",
        )  # fmt: skip
    if seen.hidden:
        yield Finding(
            code="sessions_hidden", severity=Severity.NOTE, shard=shard,
            found=f"{seen.hidden} sessions of other roles are open; how long, this role may not see",
            advice="GRANT pg_read_all_stats to it, or ask as another role",
        )  # fmt: skip


def _of_session(shard: str, session: Session, *, long_s: float) -> Finding | None:
    who = f"Session {session.pid} of {session.role}"
    end = f"SELECT pg_terminate_backend({session.pid}), once you know whose it is"
    is_idle = session.state.startswith("idle in transaction")
    if session.forum is not None and is_idle and session.still_s >= min(IDLE_S, long_s):
        return Finding(
            code="idle_with_lock", severity=Severity.STOPS, shard=shard, forum=session.forum, advice=end,
            found=f"{who} holds the forum's lock and has been idle in its transaction for {session.still_s:.0f} s",
        )  # fmt: skip
    if session.forum is not None and session.open_s >= long_s:
        return Finding(
            code="long_with_lock", severity=Severity.STOPS, shard=shard, forum=session.forum, advice=end,
            found=f"{who} has held the forum's lock in a transaction of {session.open_s:.0f} s",
        )  # fmt: skip
    if session.open_s >= long_s:
        return Finding(
            code="long_transaction", severity=Severity.SLOWS, shard=shard,
            found=f"The transaction of {who} has been open for {session.open_s:.0f} s: dead rows are kept for it",
            advice=f"Wait for it, or {end}",
        )  # fmt: skip
    return None
