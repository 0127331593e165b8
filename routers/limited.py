"""Connections of one's own, past Django's, whose every transaction brings its limits along.

A pooler may run each transaction in another session of the server. It drops settings that are asked for when
connecting, and a SET of one client stays behind for the next. So nothing is set for a session here: each transaction is
told by itself, in the round trip of its first statement where that is one of this class's.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import psycopg
from django.conf import settings
from psycopg import sql
from psycopg.abc import Params, PQGen, QueryNoTemplate
from psycopg.pq import PipelineStatus, TransactionStatus

from routers.registry import conninfo_of

_IN_TRANSACTION = (TransactionStatus.INTRANS, TransactionStatus.INERROR)
# What an answer may take beyond the statement's limit, which is the server's: a network that is cut keeps neither.
SILENCE_S = 2.0
LOOK_EVERY_S = 0.1


class NoAnswer(psycopg.OperationalError):
    """The server has said nothing for longer than it may work on a statement; the connection is given up."""


class LimitedConnection(psycopg.Connection[Any]):
    """Commits each statement by itself outside of ``transaction()`` and ``begin()``.

    Inside a pipeline nothing is told unasked: begin it with ``begin()`` or ``tell()``. What a cursor of one's own runs
    outside of a transaction has the server's limits only. No answer is waited for much longer than the limit of a
    statement (``NoAnswer``): bytes may have been taken by a network that brings nothing back.
    """

    _telling = b"SELECT"
    _patience_s: float | None = None

    @classmethod
    def open(
        cls,
        alias: str,
        *,
        local: Mapping[str, str],
        prepare_after: int = 5,
        application_name: str | None = None,
        connect_timeout: int | None = None,
    ) -> Self:
        """A new connection; ``local`` as for ``limit``. Statements are prepared after so many runs, if at all."""
        connection = cls.connect(
            conninfo_of(alias),
            autocommit=True,
            prepare_threshold=prepare_threshold(prepare_after),
            application_name=application_name,
            connect_timeout=connect_timeout,
        )
        connection.limit(local)
        return connection

    def limit(self, local: Mapping[str, str]) -> None:
        """What each transaction from the next one on is told: names of settings with their values."""
        each = (sql.SQL("set_config({}, {}, true)").format(name, value) for name, value in local.items())
        self._telling = sql.SQL("SELECT {}").format(sql.SQL(", ").join(each)).as_bytes()
        limit_ms = int(local.get("statement_timeout", "0").removesuffix("ms"))
        self._patience_s = limit_ms / 1000 + SILENCE_S if limit_ms else None

    def wait[T](self, gen: PQGen[T], interval: float = LOOK_EVERY_S, timeout: float | None = None) -> T:
        """Every answer comes through here."""
        if timeout is not None or self._patience_s is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self._patience_s)
        except psycopg.errors._WaitTimeout as error:
            self.pgconn.finish()
            raise NoAnswer(f"No answer within {self._patience_s:.1f} s") from error

    def tell(self) -> None:
        """Tell the open transaction, or what is left of the pipeline up to its end, which is one transaction too.

        Never prepared: psycopg forgets what it has prepared, after a DROP for one, behind the next pipeline's first
        statement, and would forget that one on the server only.
        """
        super().execute(self._telling, prepare=False)

    def begin(self, how: QueryNoTemplate = "BEGIN") -> None:
        """Open a transaction that lasts until ``commit()`` or ``rollback()``."""
        with nullcontext() if self._is_pipeline else self.pipeline():
            super().execute(how)
            self.tell()

    def commit(self) -> None:
        """End the open transaction, in a pipeline too.

        psycopg sends nothing there once all that was asked has been answered: it takes the connection for idle then.
        """
        if self._is_pipeline:
            super().execute("COMMIT", prepare=False)
        else:
            super().commit()

    def hold(self) -> None:
        """The open transaction is left idle after a pipeline: let its idle limit count.

        psycopg sends a Flush behind the Sync that ends a pipeline. PostgreSQL starts the limit's clock at the Sync and
        stops it at whatever comes next, so without this the transaction, and its locks, may stay as long as they like.
        """
        super().execute("SELECT")

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        is_outermost = self.info.transaction_status not in _IN_TRANSACTION
        with super().transaction(savepoint_name, force_rollback) as transaction:
            if is_outermost:
                self.tell()
            yield transaction

    def execute(  # type: ignore[override]
        self, query: QueryNoTemplate, params: Params | None = None, *, prepare: bool | None = None, binary: bool = False
    ) -> psycopg.Cursor[Any]:
        if self._is_pipeline or self.info.transaction_status != TransactionStatus.IDLE:
            return super().execute(query, params, prepare=prepare, binary=binary)
        with self.pipeline():
            self.tell()
            return super().execute(query, params, prepare=prepare, binary=binary)

    @property
    def _is_pipeline(self) -> bool:
        return self.pgconn.pipeline_status != PipelineStatus.OFF


def prepare_threshold(after: int = 5) -> int | None:
    """After how many runs psycopg prepares a statement by itself: never, behind a pooler that does not follow them."""
    return after if settings.PREPARED_STATEMENTS else None
