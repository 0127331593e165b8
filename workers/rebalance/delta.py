"""What changed, brought over by state: ids of the log, their rows as they are now, read back and compared.

Each round trip counts where this runs under a fence: all statements are known to the servers beforehand, and those to
the target are sent in one pipeline.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from forum_backend.services.forum_rows import CONTENT, FORUM_TABLES, ForumTable
from workers.rebalance.flow import Flow, prepared

type Keys = Mapping[str, list[int]]
type Contents = dict[str, tuple[int, int]]

MOST = 1_000_000  # one transaction of a writer, however large, fits into one batch
SLICE = 2_000
NO_KEY = 0


class RowsDiffer(Exception):
    """The rows of the two sides are not the same; nothing of it is committed."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table on the source: how many, the hash of their content, all of them as JSON."""

    table: str
    number: int
    content: int
    as_json: str


@dataclass(frozen=True, slots=True)
class Delta:
    """Entries of the log, the keys they name, each once, and the rows with these keys unless they are read later."""

    entries: list[int] = field(default_factory=list)
    keys: Keys = field(default_factory=dict)
    rows: list[Rows] | None = None


def _rows_with(table: ForumTable, keys: sql.Composable) -> sql.Composed:
    return sql.SQL("SELECT {} FROM {} WHERE {} = ANY({}::bigint[])").format(
        table.column_list(), sql.Identifier(table.name), sql.Identifier(table.key), keys
    )


def _of_all_tables(what: sql.Composable) -> sql.Composed:
    """``what`` of the rows ``r`` with the given keys, one line a table."""
    return sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, {} FROM ({}) r").format(
            sql.Literal(table.name), what, _rows_with(table, sql.Placeholder(table.name))
        )
        for table in FORUM_TABLES
    )


_WITH_JSON = sql.SQL("{}, json_agg(r)::text").format(CONTENT)
_LOG = "SELECT id, table_name, row_id FROM changed_row WHERE forum_id = %(forum_id)s ORDER BY id LIMIT %(batch)s"
_LOG_SQL = _LOG.encode()
_ROWS_SQL = _of_all_tables(_WITH_JSON).as_bytes()
# The log and its rows in one round trip: first the entries, then a line a table.
_LOG_AND_ROWS_SQL = (
    sql.SQL("WITH log AS MATERIALIZED ({}) SELECT '', array_agg(id), 0, 0, NULL FROM log UNION ALL {}")
    .format(
        sql.SQL(_LOG),
        sql.SQL(" UNION ALL ").join(
            sql.SQL(
                "SELECT {name}, k.keys, d.* FROM (SELECT array_agg(DISTINCT row_id ORDER BY row_id) AS keys FROM log "
                "WHERE table_name = {name}) k, LATERAL (SELECT {what} FROM ({rows}) r) d WHERE k.keys IS NOT NULL"
            ).format(name=sql.Literal(table.name), what=_WITH_JSON, rows=_rows_with(table, sql.SQL("k.keys")))
            for table in FORUM_TABLES
        ),
    )
    .as_bytes()
)
# Number and content of rows, and their part in what is kept of tables that were verified: taken off before the rows
# are replaced, added after it.
_ACCOUNT_SQL = (
    sql.SQL(
        "WITH d (table_name, rows, content) AS ({rows}), account AS (UPDATE copy_progress AS p "
        "SET rows = p.rows + %(sign)s::integer * d.rows, content = p.content + %(sign)s::integer * d.content "
        "FROM d WHERE p.forum_id = %(forum_id)s AND p.table_name = d.table_name AND p.is_verified) "
        "SELECT table_name, rows, content FROM d"
    )
    .format(rows=_of_all_tables(CONTENT))
    .as_bytes()
)
_DELETE_SQL = {
    table.name: sql.SQL("DELETE FROM {} WHERE {} = ANY(%(keys)s)")
    .format(sql.Identifier(table.name), sql.Identifier(table.key))
    .as_bytes()
    for table in FORUM_TABLES
}
# As JSON, by name: the order of columns may differ between servers.
_INSERT_SQL = {
    table.name: sql.SQL(
        "INSERT INTO {table} ({columns}) SELECT {columns} FROM json_populate_recordset(NULL::{table}, %(rows)s)"
    )
    .format(table=sql.Identifier(table.name), columns=table.column_list())
    .as_bytes()
    for table in FORUM_TABLES
}


def read_delta(flow: Flow, *, batch: int = MOST) -> Delta:
    """What is in the log, with its rows; all of one moment."""
    return told_delta(ask_delta(flow, batch=batch))


def ask_delta(flow: Flow, *, batch: int = MOST) -> psycopg.Cursor:
    """``read_delta`` in two, for a pipeline: ask in it, be told after it."""
    return prepared(flow.source, _LOG_AND_ROWS_SQL, {"forum_id": flow.forum, "batch": batch})


def told_delta(answer: psycopg.Cursor) -> Delta:
    """What ``ask_delta`` asked for."""
    entries: list[int] = []
    keys: dict[str, list[int]] = {}
    rows: list[Rows] = []
    for name, numbers, number, content, as_json in answer:
        if not name:
            entries = numbers or []
            continue
        keys[name] = numbers
        if number:
            rows.append(Rows(name, number, int(content), as_json))
    return Delta(entries, keys, rows)


def read_log(flow: Flow, *, batch: int = MOST) -> Delta:
    """What is in the log; its rows are read piece by piece as they are needed, in the open view of the source."""
    entries: list[int] = []
    keys: dict[str, set[int]] = {}
    for entry, table, key in prepared(flow.source, _LOG_SQL, {"forum_id": flow.forum, "batch": batch}):
        entries.append(entry)
        keys.setdefault(table, set()).add(key)
    return Delta(entries, {table: sorted(found) for table, found in keys.items()})


def apply(flow: Flow, delta: Delta) -> None:
    """Make the target's rows what they are on the source, in an open transaction that entered."""
    with flow.target.pipeline():
        refuse_difference = send(flow, delta)
    refuse_difference()


def send(flow: Flow, delta: Delta) -> Callable[[], None]:
    """Make the target's rows what they are on the source: gone, changed or new.

    Constraints between rows are deferred: rows may come in any order, and are checked at the end. In
    a pipeline: once it is over, what is returned is to be called. It raises ``RowsDiffer`` if the target does not read
    back what was sent.
    """
    if not delta.keys:
        return lambda: None
    _account(flow, delta.keys, sign=-1)
    for table in reversed(FORUM_TABLES):
        if delta.keys.get(table.name):
            prepared(flow.target, _DELETE_SQL[table.name], {"keys": delta.keys[table.name]})
    sent = _send_rows(flow, delta)
    flow.target.execute("SET CONSTRAINTS ALL IMMEDIATE")
    flow.target.execute("SET CONSTRAINTS ALL DEFERRED")
    read_back = _account(flow, delta.keys, sign=1)
    return lambda: _refuse_difference(sent, {name: (rows, int(content)) for name, rows, content in read_back})


def warm_up(flow: Flow) -> None:
    """Everything that ``apply`` does, for no row: statements planned, tables looked up."""
    with flow.target.transaction():
        flow.enter()
        apply(flow, Delta(keys={table.name: [NO_KEY] for table in FORUM_TABLES}))
        for table in FORUM_TABLES:
            prepared(flow.target, _INSERT_SQL[table.name], {"rows": "[]"})


def _account(flow: Flow, keys: Keys, *, sign: int) -> psycopg.Cursor:
    return prepared(flow.target, _ACCOUNT_SQL, {"sign": sign, "forum_id": flow.forum, **_of_each_table(keys)})


def _send_rows(flow: Flow, delta: Delta) -> Contents:
    """Insert the rows that are there still; number and content of what was sent."""
    sent = {table.name: (0, 0) for table in FORUM_TABLES}
    for rows in _read_rows(flow, delta.keys) if delta.rows is None else delta.rows:
        number, content = sent[rows.table]
        sent[rows.table] = (number + rows.number, content + rows.content)
        prepared(flow.target, _INSERT_SQL[rows.table], {"rows": rows.as_json})
    return sent


def _read_rows(flow: Flow, keys: Keys) -> Iterator[Rows]:
    """All rows with these keys, at most so many of a table at a time."""
    most = max(len(found) for found in keys.values())
    for begin in range(0, most, SLICE):
        piece = {name: found[begin : begin + SLICE] for name, found in keys.items()}
        for name, number, content, as_json in prepared(flow.source, _ROWS_SQL, _of_each_table(piece)).fetchall():
            if number:
                yield Rows(name, number, int(content), as_json)


def _refuse_difference(sent: Contents, read_back: Contents) -> None:
    differing = sorted(name for name in sent if sent[name] != read_back.get(name))
    if differing:
        raise RowsDiffer(f"Rows read back from the target differ in {', '.join(differing)}")


def _of_each_table(keys: Keys) -> dict[str, list[int]]:
    return {table.name: keys.get(table.name, []) for table in FORUM_TABLES}
