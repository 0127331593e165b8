"""The way from the shard that serves a forum to one that does not: both connections, and who may use them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import batched

import psycopg
from django.conf import settings
from psycopg import sql
from psycopg.types.numeric import Int8

from forum_backend.domain.moves import OwnershipMode
from forum_backend.services.forum_rows import ForumTable
from forum_backend.services.ownership import enter_as_mover, enter_to_copy, refusals
from routers.limited import LimitedConnection

ROWS_A_WRITE = 64

type Value = int | str | Sequence[int]
type Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Flow:
    """From ``source`` to ``target``, whose ownership row must be in ``mode`` at ``epoch`` for this token."""

    source: LimitedConnection
    target: LimitedConnection
    forum: int
    epoch: int
    mode: OwnershipMode
    token: int

    def enter(self) -> None:
        """Let the target's open transaction write the forum's rows; refused if another mover has the forum."""
        enter_as_mover(self.target, forum=self.forum, epoch=self.epoch, token=self.token, mode=self.mode)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction of the target that has entered."""
        with self.target.transaction():
            self.enter()
            yield

    def begin_chunk(self) -> None:
        """A transaction of the target that copies, and stays open; others of the same mover may do so beside it.

        Nobody waits for the disk: a chunk that a crash takes away takes its progress with it.
        """
        with refusals(), self.target.pipeline():
            self.target.begin()
            self.target.execute("SET LOCAL synchronous_commit = off")
            enter_to_copy(self.target, forum=self.forum, epoch=self.epoch, token=self.token)

    def undo(self) -> None:
        """What the target's open transaction did is undone, if by nobody else by the end of its connection."""
        if not self.target.closed:
            self.target.rollback()

    def begin_view(self) -> None:
        """All that is read from the source until ``end_view`` is of one moment."""
        self.source.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    @contextmanager
    def asking(self) -> Iterator[None]:
        """``begin_view``, and what the body asks goes along in the same round trip: be told after it."""
        with self.source.pipeline():
            self.begin_view()
            yield

    def end_view(self) -> None:
        """By a commit: after a rollback psycopg forgets what it has prepared, and a fence would wait for plans."""
        if not self.source.closed:
            self.source.commit()

    def copy(self, table: ForumTable, rows: sql.Composable) -> int:
        """Stream the rows of a query on the source, in the open view, into the target's table; how many there were."""
        out = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(rows)
        into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
            sql.Identifier(table.name), table.column_list()
        )
        with self.source.cursor() as reader, self.target.cursor() as writer:
            with reader.copy(out) as data, writer.copy(into) as copy:
                for some in batched(data, ROWS_A_WRITE):  # the source gives row by row
                    copy.write(b"".join(some))
            return writer.rowcount


def prepared(connection: psycopg.Connection, query: bytes, values: Values) -> psycopg.Cursor:
    """A statement that its server parses and plans once: run before a fence, it takes the shortest under it.

    psycopg chooses a number's type by its size, and prepares the statement anew for each choice; so all are told here.
    """
    told = {name: _of_one_type(value) for name, value in values.items()}
    return connection.execute(query, told, prepare=settings.PREPARED_STATEMENTS or None)


def _of_one_type(value: Value) -> object:
    if isinstance(value, int):
        return Int8(value)
    if isinstance(value, str):
        return value
    return f"{{{','.join(map(str, value))}}}"


def forget(flow: Flow, entries: list[int]) -> None:
    """Take entries that were applied out of the source's log; refused if another mover has the forum."""
    with refusals():
        flow.source.execute("SELECT forum_forget_changes(%s, %s, %s)", (flow.forum, flow.token, entries))
