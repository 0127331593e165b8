"""Rows on their way from the shard that serves a forum to one that does not: by key, hashed on both sides."""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from forum_backend.domain.moves import OwnershipMode
from forum_backend.services.forum_rows import CONTENT, FORUM_TABLES, ForumTable
from forum_backend.services.ownership import enter_as_mover, refusals

type Keys = Mapping[str, list[int]]
NOTHING = (0, 0)


class RowsDiffer(Exception):
    """The rows of the two sides are not the same; nothing of it is committed."""


@dataclass(frozen=True, slots=True)
class Flow:
    """From ``source`` to ``target``, whose ownership row must be in ``mode`` at ``epoch`` for this token."""

    source: psycopg.Connection
    target: psycopg.Connection
    forum: int
    epoch: int
    mode: OwnershipMode
    token: int

    def enter(self) -> None:
        """Let the target's open transaction write the forum's rows; refused if another mover has the forum."""
        enter_as_mover(self.target, forum=self.forum, epoch=self.epoch, token=self.token, mode=self.mode)

    def begin_view(self) -> None:
        """All that is read from the source until ``end_view`` is of one moment."""
        self.source.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def end_view(self) -> None:
        self.source.rollback()

    def copy(self, table: ForumTable, rows: sql.Composable) -> int:
        """Stream the rows of a query on the source into the target's table; how many there were."""
        out = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(rows)
        into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
            sql.Identifier(table.name), table.column_list()
        )
        with self.source.cursor() as reader, self.target.cursor() as writer:
            with reader.copy(out) as data, writer.copy(into) as copy:
                for block in data:
                    copy.write(block)
            return writer.rowcount

    def replace(self, keys: Keys) -> None:
        """Make the target's rows with these keys what they are on the source: gone, changed or new.

        Constraints between rows are deferred: rows may come in any order, and are checked at the end.
        """
        tables = [table for table in FORUM_TABLES if keys.get(table.name)]
        for table in reversed(tables):
            self.target.execute(
                sql.SQL("DELETE FROM {} WHERE {} = ANY(%s)").format(
                    sql.Identifier(table.name), sql.Identifier(table.key)
                ),
                (keys[table.name],),
            )
        for table in tables:
            self.copy(table, rows_with(table, sql.Literal(keys[table.name])))
        self.target.execute("SET CONSTRAINTS ALL IMMEDIATE")
        self.target.execute("SET CONSTRAINTS ALL DEFERRED")


def rows_with(table: ForumTable, keys: sql.Composable) -> sql.Composed:
    """The query of a table's rows with these keys (an expression of an array)."""
    return sql.SQL("SELECT {} FROM {} WHERE {} = ANY({}::bigint[])").format(
        table.column_list(), sql.Identifier(table.name), sql.Identifier(table.key), keys
    )


def contents(connection: psycopg.Connection, keys: Keys) -> dict[str, tuple[int, int]]:
    """Number and content of the rows with these keys, by table, in one statement."""
    tables = [table for table in FORUM_TABLES if keys.get(table.name)]
    if not tables:
        return {}
    parts = (
        sql.SQL("SELECT {}, {} FROM ({}) r").format(
            sql.Literal(table.name), CONTENT, rows_with(table, sql.Literal(keys[table.name]))
        )
        for table in tables
    )
    found = connection.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall()
    return {name: (rows, int(content)) for name, rows, content in found}


def forget(flow: Flow, entries: list[int]) -> None:
    """Take entries that were applied out of the source's log; refused if another mover has the forum."""
    with refusals():
        flow.source.execute("SELECT forum_forget_changes(%s, %s, %s)", (flow.forum, flow.token, entries))
