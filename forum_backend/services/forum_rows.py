"""The rows of one forum as a move sees them: which tables, in which order, counted, compared, copied, purged."""

from dataclasses import dataclass

import psycopg
from django.db.models import Model
from psycopg import sql

from forum_backend.data.shard.models import (
    Forum,
    ForumCounters,
    ForumEvent,
    IdempotencyKey,
    OutboxEvent,
    Post,
    Thread,
    Vote,
)
from forum_backend.domain.moves import OwnershipMode
from forum_backend.services.ownership import enter_as_mover

# Columns that mean something on their shard only.
STAYS_BEHIND = {"forum_event": {"position"}}
PURGE_CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class ForumTable:
    """A table, its key, its columns by name (their order may differ between servers)."""

    name: str
    key: str
    columns: tuple[str, ...]

    def rows(self, forum: int) -> sql.Composed:
        """The query of a forum's rows, in the order of their key."""
        return sql.SQL("SELECT {} FROM {} WHERE forum_id = {} ORDER BY {}").format(
            self.column_list(), sql.Identifier(self.name), sql.Literal(forum), sql.Identifier(self.key)
        )

    def column_list(self) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier(column) for column in self.columns)


@dataclass(frozen=True, slots=True)
class Digest:
    """What is compared: the number of a table's rows and the hash of their content."""

    rows: int
    content: int


def _table(model: type[Model]) -> ForumTable:
    name = model._meta.db_table
    stays = STAYS_BEHIND.get(name, set())
    columns = tuple(str(f.column) for f in model._meta.local_concrete_fields if f.column not in stays)
    return ForumTable(name, str(model._meta.pk.column), columns)


# Rows and content of a sub-query ``r``: the same on two servers for the same rows, and a sum, so that it can be kept.
CONTENT = sql.SQL("count(*), coalesce(sum(hashtextextended(r::text, 0)), 0)")

# What is referred to comes before what refers to it.
FORUM_TABLES = tuple(
    _table(model) for model in (Forum, ForumCounters, Thread, Post, Vote, OutboxEvent, ForumEvent, IdempotencyKey)
)


# How many rows the forum has in each table, by its name.
COUNTS_SQL = (
    sql.SQL(" UNION ALL ")
    .join(
        sql.SQL("SELECT {}, count(*) FROM {} WHERE forum_id = {}").format(
            sql.Literal(table.name), sql.Identifier(table.name), sql.Placeholder("forum_id")
        )
        for table in FORUM_TABLES
    )
    .as_bytes()
)


def last_keys_query(forum: int) -> sql.Composed:
    """The query of the forum's highest key in each table, by its name; 0 where it has no row."""
    return sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, coalesce(max({}), 0) FROM {} WHERE forum_id = {}").format(
            sql.Literal(table.name), sql.Identifier(table.key), sql.Identifier(table.name), sql.Literal(forum)
        )
        for table in FORUM_TABLES
    )


def digest(connection: psycopg.Connection, forum: int) -> dict[str, Digest]:
    """Count and content of every table, in one statement; the same on two servers when the rows are the same."""
    parts = (
        sql.SQL("SELECT {}, {} FROM ({}) r").format(sql.Literal(table.name), CONTENT, table.rows(forum))
        for table in FORUM_TABLES
    )
    rows = connection.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall()
    return {name: Digest(count, int(content)) for name, count, content in rows}


def purge_chunk(
    connection: psycopg.Connection, *, forum: int, epoch: int, token: int, mode: OwnershipMode, size: int
) -> int:
    """Delete up to ``size`` of a forum's rows, children first, in a transaction of its own; 0 when none are left.

    The shard refuses unless it still is in ``mode`` at this epoch for this token.
    """
    with connection.transaction():
        enter_as_mover(connection, forum=forum, epoch=epoch, token=token, mode=mode)
        for table in reversed(FORUM_TABLES):
            deleted = _delete(connection, table, forum, size=min(size, PURGE_CHUNK))
            if deleted:
                return deleted
        return connection.execute(
            "DELETE FROM changed_row WHERE id IN (SELECT id FROM changed_row WHERE forum_id = %s LIMIT %s)",
            (forum, PURGE_CHUNK),
        ).rowcount


def _delete(connection: psycopg.Connection, table: ForumTable, forum: int, *, size: int) -> int:
    names = {"table": sql.Identifier(table.name), "key": sql.Identifier(table.key)}
    query = sql.SQL("SELECT {key} FROM {table} WHERE forum_id = %s ORDER BY {key} DESC LIMIT %s").format(**names)
    keys = [row[0] for row in connection.execute(query, (forum, size))]
    if keys and table.name == "post":
        # Replies come after what they answer; one that does not (an import may do so) must not hold its parent.
        connection.execute(
            "UPDATE post SET parent_id = NULL WHERE forum_id = %s AND parent_id = ANY(%s) AND id < %s",
            (forum, keys, keys[-1]),
        )
    if keys:
        connection.execute(sql.SQL("DELETE FROM {table} WHERE {key} = ANY(%s)").format(**names), (keys,))
    return len(keys)
