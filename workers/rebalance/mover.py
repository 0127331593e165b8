"""What the steps of one attempt have in hand: the move, its token, connections of its own to both shards."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import psycopg
from django.conf import settings

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.moves import OwnershipMode
from forum_backend.services.ownership import Change, Limits, connect, set_ownership

LOCK_MS = 100
GRACE_MS = 1_000


class BudgetExceeded(Exception):
    """The forum was without writes for longer than the budget; the attempt is undone."""


class RowsDiffer(Exception):
    """The target's rows are not the source's; the attempt is undone."""


class Mover:
    """One attempt. Used as a context: at its end all connections are closed, whatever is open on them is undone.

    ``observe`` is told the name of each point that is passed (tests break off there).
    """

    def __init__(self, move: Move, observe: Callable[[str], None] = lambda _point: None) -> None:
        self.move = move
        self.reach = observe
        self.fence_began_at: float | None = None
        self.is_commit_sent = False
        self.window_ms: float | None = None
        self._connections: dict[str, psycopg.Connection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def source(self) -> psycopg.Connection:
        return self._open("source", self.move.source_id)

    @property
    def target(self) -> psycopg.Connection:
        return self._open("target", self.move.target_id)

    @property
    def gate(self) -> psycopg.Connection:
        """The connection that holds the gate: writers wait on its lock while the fence stands."""
        return self._open("gate", self.move.source_id)

    def close(self, *, keep_gate: bool = False) -> None:
        """Close the connections; open transactions are rolled back, locks are given up."""
        for name in list(self._connections):
            if not (keep_gate and name == "gate"):
                self._connections.pop(name).close()

    def change(
        self,
        connection: psycopg.Connection,
        *,
        modes: tuple[str, ...],
        from_epoch: int | None,
        mode: OwnershipMode,
        epoch: int,
        capture: bool = False,
        went_to: str | None = None,
        is_announced: bool = True,
    ) -> None:
        """Change the forum's ownership row on a shard, with this mover's token."""
        change = Change(
            forum=self.move.forum_id, token=self.move.token, modes=modes, from_epoch=from_epoch, mode=mode,
            epoch=epoch, capture=capture, went_to=went_to, is_announced=is_announced,
            went_epoch=None if went_to is None else self.move.epoch + 1,
        )  # fmt: skip
        set_ownership(connection, change)

    def elapsed_ms(self) -> float:
        """How long the fence has been going up or standing."""
        return 0.0 if self.fence_began_at is None else (time.monotonic() - self.fence_began_at) * 1000

    def refuse_late(self) -> None:
        """``BudgetExceeded`` when the fence has stood for too long."""
        if self.elapsed_ms() > settings.MOVE_BUDGET_MS:
            raise BudgetExceeded(f"{self.elapsed_ms():.0f} ms under the fence; the budget is {settings.MOVE_BUDGET_MS}")

    def _open(self, name: str, shard: str) -> psycopg.Connection:
        if name not in self._connections:
            within_ms = settings.MOVE_BUDGET_MS + GRACE_MS
            limits = Limits(lock_ms=LOCK_MS, statement_ms=within_ms, idle_ms=2 * within_ms)
            self._connections[name] = connect(shard, limits)
        return self._connections[name]
