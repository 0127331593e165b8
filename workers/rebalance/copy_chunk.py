"""One chunk of a copy: the next rows of a table by key, with the progress that they make in the same transaction.

Each chunk is read as it is then: the log has had every change since ARMED, so what a chunk missed is caught up with
later. Rows that were inserted since are left to the log altogether: nearly all have a key above the last one there was,
so a copy ends, however fast people write. A row that is copied refers to rows that were there before ARMED too, which
were copied before it; but an imported reply may have a lower id than its parent: it gets its parent at the end.
"""

from collections.abc import Callable

import psycopg
from psycopg import sql

from forum_backend.data.shard.ownership import NO_LAST_KEY
from forum_backend.services.forum_rows import ForumTable
from workers.rebalance import progress
from workers.rebalance.flow import Flow
from workers.rebalance.progress import Progress

# A parent that comes in a later chunk is joined at the end; that update counts the version up to what it is.
LATER = {
    ("post", "parent_id"): "CASE WHEN {column} <= {upper} THEN {column} END AS {column}",
    ("post", "version"): "CASE WHEN parent_id > {upper} THEN {column} - 1 ELSE {column} END AS {column}",
}
CHUNK = 5_000
SLICE = 2_000


def fill_chunk(flow: Flow, table: ForumTable, done: Progress, *, size: int, before_the_last: Callable[[], None]) -> int:
    """Send the next rows of a table, in a transaction that stays open for ``commit_chunk``; how many there were.

    ``done`` is brought up to them. With the last rows come the parents that came late, after ``before_the_last``.
    """
    try:
        flow.begin_chunk()
        with flow.asking():
            asked = ask_range(flow, table, above=done.copied_to, up_to=done.last_key, size=size)
        upper, keys = told_range(asked)
        rows = flow.copy(table, chunk(flow.forum, table, lower=done.copied_to, upper=upper)) if keys else 0
        if keys < size and table.name == "post":
            before_the_last()
            join_late_parents(flow, up_to=done.last_key)
    except BaseException:
        flow.undo()
        raise
    finally:
        flow.end_view()
    done.copied_to, done.is_copied = max(upper, done.copied_to), keys < size
    return rows


def commit_chunk(flow: Flow, done: Progress) -> None:
    """The rows are there, and how far the table has come with them."""
    try:
        with flow.target.pipeline():
            progress.save(flow.target, forum=flow.forum, progress=done)
            flow.target.commit()
    except BaseException:
        flow.undo()
        raise


def ask_range(flow: Flow, table: ForumTable, *, above: int, size: int, up_to: int = NO_LAST_KEY) -> psycopg.Cursor:
    """Ask the source for the last of the next ``size`` keys, and how many there are: ``told_range`` tells."""
    query = sql.SQL(
        "SELECT coalesce(max(k), 0), count(*) FROM (SELECT {key} AS k FROM {table} "
        "WHERE forum_id = %s AND {key} > %s AND {key} <= %s ORDER BY {key} LIMIT %s) AS next"
    ).format(key=sql.Identifier(table.key), table=sql.Identifier(table.name))
    return flow.source.execute(query, (flow.forum, above, up_to, size))


def told_range(answer: psycopg.Cursor) -> tuple[int, int]:
    """What ``ask_range`` asked for."""
    row = answer.fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def chunk(forum: int, table: ForumTable, *, lower: int, upper: int) -> sql.Composed:
    """The rows with keys above ``lower`` up to ``upper``, without those inserted since ARMED."""
    columns = sql.SQL(", ").join(
        sql.SQL(LATER.get((table.name, column), "{column}")).format(
            column=sql.Identifier(column), upper=sql.Literal(upper)
        )
        for column in table.columns
    )
    return sql.SQL(
        "SELECT {columns} FROM {table} AS t WHERE forum_id = {forum} AND {key} > {lower} AND {key} <= {upper} "
        "AND NOT EXISTS (SELECT FROM changed_row c WHERE c.forum_id = {forum} AND c.table_name = {name} "
        "AND c.row_id > {lower} AND c.row_id <= {upper} AND c.is_insert AND c.row_id = t.{key})"
    ).format(
        columns=columns, table=sql.Identifier(table.name), forum=sql.Literal(forum), key=sql.Identifier(table.key),
        lower=sql.Literal(lower), upper=sql.Literal(upper), name=sql.Literal(table.name),
    )  # fmt: skip


def join_late_parents(flow: Flow, *, up_to: int) -> None:
    """Replies with a lower id than what they answer, once all rows are there that the log does not have."""
    query = (
        "SELECT id, parent_id FROM post p WHERE forum_id = %s AND parent_id > id AND parent_id <= %s AND NOT EXISTS "
        "(SELECT FROM changed_row c WHERE c.forum_id = p.forum_id AND c.table_name = 'post' "
        "AND c.is_insert AND c.row_id IN (p.id, p.parent_id))"
    )
    late = flow.source.execute(query, (flow.forum, up_to)).fetchall()
    for begin in range(0, len(late), SLICE):
        replies, parents = zip(*late[begin : begin + SLICE], strict=True)
        flow.target.execute(
            "UPDATE post AS p SET parent_id = new.parent_id FROM unnest(%s::bigint[], %s::bigint[]) AS new (id, "
            "parent_id) WHERE p.id = new.id",
            (list(replies), list(parents)),
        )
