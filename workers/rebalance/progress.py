"""How far a mover has come with each table, kept on the target in the transactions that add its rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from forum_backend.services.forum_rows import FORUM_TABLES


class ProgressLost(Exception):
    """The target has no notes of this move: it was ended by others, or begins anew."""


@dataclass(slots=True)
class Progress:
    """Of one table: up to which key it is copied in chunks, keys copied and verified so far; number and content of all
    its rows, once it is verified.
    """

    table: str
    last_key: int
    copied_to: int
    is_copied: bool
    verified_to: int
    is_verified: bool
    rows: int
    content: int


READ_SQL = (
    "SELECT table_name, last_key, copied_to, is_copied, verified_to, is_verified, rows, content FROM copy_progress "
    "WHERE forum_id = %s"
)
BEGIN_SQL = (
    "INSERT INTO copy_progress (forum_id, table_name, last_key, copied_to, is_copied, verified_to, is_verified, rows, "
    "content) SELECT %s, t, k, 0, %s, 0, false, 0, 0 FROM unnest(%s::text[], %s::bigint[]) AS of_table (t, k)"
)
SAVE_SQL = (
    "UPDATE copy_progress SET copied_to = %s, is_copied = %s, verified_to = %s, is_verified = %s, rows = %s, "
    "content = %s WHERE forum_id = %s AND table_name = %s"
)
UNVERIFY_SQL = (
    "UPDATE copy_progress SET verified_to = 0, is_verified = false, rows = 0, content = 0 WHERE forum_id = %s"
)


def begin(connection: psycopg.Connection, *, forum: int, last_keys: Mapping[str, int] | None) -> None:
    """Start anew: nothing is copied, and ``last_keys`` by table will be the last; None if all rows are there already
    and have to be verified only.
    """
    keys = [0 if last_keys is None else last_keys[table.name] for table in FORUM_TABLES]
    with connection.transaction():
        connection.execute("DELETE FROM copy_progress WHERE forum_id = %s", (forum,))
        connection.execute(BEGIN_SQL, (forum, last_keys is None, [table.name for table in FORUM_TABLES], keys))


def read(connection: psycopg.Connection, *, forum: int) -> dict[str, Progress]:
    """By table, of all tables since ``begin``; ``ProgressLost`` otherwise."""
    return told(ask(connection, forum=forum))


def ask(connection: psycopg.Connection, *, forum: int) -> psycopg.Cursor:
    """``read`` in two, for a pipeline: ask in it, be told after it."""
    return connection.execute(READ_SQL, (forum,))


def told(answer: psycopg.Cursor) -> dict[str, Progress]:
    """What ``ask`` asked for."""
    rows = answer.fetchall()
    if len(rows) != len(FORUM_TABLES):
        raise ProgressLost(f"The target has notes on {len(rows)} of {len(FORUM_TABLES)} tables")
    return {
        table: Progress(table, last_key, copied_to, is_copied, verified_to, is_verified, number, int(content))
        for table, last_key, copied_to, is_copied, verified_to, is_verified, number, content in rows
    }


def save(connection: psycopg.Connection, *, forum: int, progress: Progress) -> None:
    """In the open transaction of whatever was added."""
    p = progress
    values = (p.copied_to, p.is_copied, p.verified_to, p.is_verified, p.rows, p.content)
    connection.execute(SAVE_SQL, (*values, forum, p.table))


def forget(connection: psycopg.Connection, *, forum: int) -> None:
    """The move is over."""
    connection.execute("DELETE FROM copy_progress WHERE forum_id = %s", (forum,))
