"""Verification: every row hashed on both sides, range by range, dirty ones left out; what differs is copied again."""

import time
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from forum_backend.services.forum_rows import CONTENT, FORUM_TABLES, ForumTable
from workers.rebalance import progress
from workers.rebalance.copy_chunk import ask_range, told_range
from workers.rebalance.flow import Flow
from workers.rebalance.mover import Mover
from workers.rebalance.progress import Progress

type Content = tuple[int, int]

RANGE = 5_000
END = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Range:
    """Keys above ``lower`` up to ``upper`` of a table, and those among them that the log names."""

    table: ForumTable
    lower: int
    upper: int
    dirty: list[int]


def has_begun(flow: Flow) -> bool:
    """Whether a part of a table was verified: no row may be brought over until the rest is."""
    found = progress.read(flow.target, forum=flow.forum).values()
    if not all(p.is_copied for p in found):
        raise progress.ProgressLost("The target has lost rows that were copied")
    return any(p.verified_to or p.is_verified for p in found) and not all(p.is_verified for p in found)


def begin_anew(flow: Flow) -> None:
    """No range counts as compared any more."""
    with flow.writing():
        flow.target.execute(progress.UNVERIFY_SQL, (flow.forum,))


def verify(mover: Mover) -> bool:
    """Range by range until all tables are done; returns False when its time is up."""
    flow = mover.forward
    found = progress.read(flow.target, forum=flow.forum)
    for table in FORUM_TABLES:
        done = found[table.name]
        while not done.is_verified:
            began, before = time.monotonic(), done.rows
            differing = verify_range(flow, table, done, size=min(RANGE, mover.throttle.rows))
            if differing:
                mover.repaired(table.name, differing)
            mover.verified(done.rows - before, seconds=time.monotonic() - began)
            if not mover.goes_on():
                return False
    mover.unthrottled()
    return True


def verify_range(flow: Flow, table: ForumTable, done: Progress, *, size: int) -> list[int]:
    """The next range: keys of rows that differ (they are in the log now, to be copied again)."""
    try:
        with flow.asking():
            asked = ask_range(flow, table, above=done.verified_to, size=size)
        upper, keys = told_range(asked)
        is_last = keys < size
        everything = Range(table, done.verified_to, END if is_last else upper, [])
        where = replace(everything, dirty=dirty_in(flow, everything))
        clean_there, clean_here = contents_of(flow, where)
        differing = [] if clean_there == clean_here else differing_keys(flow, where)
    finally:
        flow.end_view()
    if differing:
        flow.source.execute(
            "INSERT INTO changed_row (forum_id, table_name, row_id) SELECT %s, %s, unnest(%s::bigint[])",
            (flow.forum, table.name, differing),
        )
    rows, hashed = content(flow.target.execute(content_query(flow, everything))) if where.dirty else clean_here
    done.verified_to, done.is_verified = upper, is_last
    done.rows, done.content = done.rows + rows, done.content + hashed
    with flow.writing():  # a mover that was overtaken meanwhile writes nothing down
        progress.save(flow.target, forum=flow.forum, progress=done)
    return differing


def dirty_in(flow: Flow, where: Range) -> list[int]:
    """Keys in the range that the log names, in the view that is open."""
    query = (
        "SELECT DISTINCT row_id FROM changed_row WHERE forum_id = %s AND table_name = %s "
        "AND row_id > %s AND row_id <= %s ORDER BY row_id"
    )
    return [row[0] for row in flow.source.execute(query, (flow.forum, where.table.name, where.lower, where.upper))]


def contents_of(flow: Flow, where: Range) -> tuple[Content, Content]:
    """Number and content of the clean rows of a range on the source and on the target, which work at the same time."""
    query = content_query(flow, where)
    with flow.source.pipeline(), flow.target.pipeline():
        there = flow.source.execute(query)
        flow.target.tell()
        here = flow.target.execute(query)
    return content(there), content(here)


def content_query(flow: Flow, where: Range) -> sql.Composed:
    return sql.SQL("SELECT {} FROM ({}) r").format(CONTENT, rows_in(flow.forum, where))


def content(answer: psycopg.Cursor) -> Content:
    """What ``content_query`` asked for."""
    row = answer.fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def differing_keys(flow: Flow, where: Range) -> list[int]:
    """Row by row: keys that only one side has, or with other content."""
    query = sql.SQL("SELECT r.{}, hashtextextended(r::text, 0) FROM ({}) r").format(
        sql.Identifier(where.table.key), rows_in(flow.forum, where)
    )
    there: dict[int, int] = dict(flow.source.execute(query).fetchall())
    here: dict[int, int] = dict(flow.target.execute(query).fetchall())
    return sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))


def rows_in(forum: int, where: Range) -> sql.Composed:
    """The query of the clean rows of a range."""
    return sql.SQL(
        "SELECT {columns} FROM {table} WHERE forum_id = {forum} AND {key} > {lower} AND {key} <= {upper} "
        "AND {key} <> ALL({dirty}::bigint[])"
    ).format(
        columns=where.table.column_list(), table=sql.Identifier(where.table.name), key=sql.Identifier(where.table.key),
        forum=sql.Literal(forum), lower=sql.Literal(where.lower), upper=sql.Literal(where.upper),
        dirty=sql.Literal(where.dirty),
    )  # fmt: skip
