"""What the steps of one attempt have in hand: the move, its token, connections of its own to both shards."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from django.conf import settings
from django.utils import timezone

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.moves import PAUSABLE, OwnershipMode
from forum_backend.queries.move_limits import read_limits
from forum_backend.services import failpoints, moves
from forum_backend.services.ownership import Change, Limits, connect, raise_token, set_ownership
from routers.limited import LimitedConnection
from workers.rebalance.delta import Delta
from workers.rebalance.flow import Flow
from workers.rebalance.throttle import Throttle

LOCK_MS = 100
STATEMENT_MS = 20_000
GRACE_MS = 1_000
TELL_EVERY_S = 0.25
KEPT_REPAIRS = 100
# In a move's verdict: what differed under its fence, until all rows are compared anew.
DIFFERED = "differed"


class BudgetExceeded(Exception):
    """The forum was without writes for longer than the budget; the attempt is undone."""


class LogInterrupted(Exception):
    """The source does not log what changes, as it did since ARMED: what was copied is worth nothing."""


@dataclass(frozen=True, slots=True)
class LastChanges:
    """What the source said under the fence: what had changed last, and the last number that it gave out."""

    delta: Delta
    number: int


class Mover:
    """One attempt. Used as a context: at its end all connections are closed, whatever is open on them is undone.

    ``observe`` is told the name of each point that is passed. ``deadline`` (monotonic seconds)
    is when a step that can be continued later should stop.
    """

    def __init__(
        self, move: Move, observe: Callable[[str], None] = failpoints.reach, *, deadline: float = float("inf")
    ) -> None:
        self.move = move
        self.reach = observe
        self.rest_s = 0.0
        self.fence_began_at: float | None = None
        self.is_commit_sent = False
        self.window_ms: float | None = None
        self.last: LastChanges | None = None
        self._deadline = deadline
        self._told_at = 0.0
        self._copied, self._copying_s = 0, 0.0
        self.throttle = Throttle(
            (move.source_id, move.target_id), tell=self._slowed, limits=read_limits, level=move.pressure
        )
        self._connections: dict[str, LimitedConnection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def source(self) -> LimitedConnection:
        return self._open("source", self.move.source_id)

    @property
    def target(self) -> LimitedConnection:
        return self._open("target", self.move.target_id)

    @property
    def gate(self) -> LimitedConnection:
        """The connection that holds the gate: writers wait on its lock while the fence stands."""
        return self._open("gate", self.move.source_id)

    @property
    def forward(self) -> Flow:
        """From the source that serves to the target that does not yet."""
        return Flow(
            self.source, self.target, self.move.forum_id, self.move.epoch + 1, OwnershipMode.INCOMING, self.move.token
        )

    @property
    def second(self) -> Flow:
        """As ``forward``, on a connection of its own to the target."""
        return replace(self.forward, target=self._open("second", self.move.target_id))

    @property
    def backward(self) -> Flow:
        """From the target that serves now to the source, which is kept as it is for a while."""
        return Flow(
            self.target, self.source, self.move.forum_id, self.move.epoch, OwnershipMode.DEPARTED, self.move.token
        )

    @property
    def is_time_up(self) -> bool:
        """Also when somebody asked for a pause here, or for the end."""
        is_unwanted = self.move.is_cancelled or self.move.pause_at == self.move.state
        return time.monotonic() > self._deadline or (is_unwanted and self.move.state in PAUSABLE)

    def goes_on(self) -> bool:
        """After a part of a step: tell those who watch; whether there is time for another part."""
        self.report()
        return not self.is_time_up

    def close(self, *, keep_gate: bool = False) -> None:
        """Close the connections; open transactions are rolled back, locks are given up."""
        gc.enable()
        self.throttle.stop()
        for name in list(self._connections):
            if not (keep_gate and name == "gate"):
                self._connections.pop(name).close()

    def change(
        self,
        connection: LimitedConnection,
        *,
        modes: tuple[str, ...],
        from_epoch: int | None,
        mode: OwnershipMode,
        epoch: int,
        capture: bool = False,
        went_to: str | None = None,
        is_announced: bool | None = None,
    ) -> None:
        """Change the forum's ownership row on a shard, with this mover's token."""
        change = Change(
            forum=self.move.forum_id, token=self.move.token, modes=modes, from_epoch=from_epoch, mode=mode,
            epoch=epoch, capture=capture, went_to=went_to, is_announced=is_announced,
            went_epoch=None if went_to is None else self.move.epoch + 1,
        )  # fmt: skip
        set_ownership(connection, change)

    def claim(self) -> None:
        """Go on where an earlier mover stopped, or after a fence that was taken down: both shards know this one only.

        ``LogInterrupted`` if the source does not log for this move any more.
        """
        epoch = self.move.epoch
        row = raise_token(self.source, forum=self.move.forum_id, token=self.move.token)
        if (row.mode, row.epoch, row.capture) != (OwnershipMode.OWNER, epoch, True):
            raise LogInterrupted(f"{self.move.source_id} is {row.mode} at epoch {row.epoch}, capture {row.capture}")
        self.change(
            self.target, modes=(OwnershipMode.INCOMING, OwnershipMode.ABORTED), from_epoch=epoch + 1,
            mode=OwnershipMode.INCOMING, epoch=epoch + 1,
        )  # fmt: skip

    def fixed_ms(self) -> float:
        """What a fence takes at least: a durable write on each shard, and as long again for all that is asked there."""
        took = []
        for connection in (self.source, self.target):
            began = time.monotonic()
            raise_token(connection, forum=self.move.forum_id, token=self.move.token)
            took.append((time.monotonic() - began) * 1000)
        return 4 * max(took)

    def copied(self, rows: int, *, seconds: float) -> None:
        """Rows were copied in one transaction: tell of it, and leave room for others."""
        self.move.rows_done += rows
        self.move.rows_total = max(self.move.rows_total, self.move.rows_done)
        began = time.monotonic()
        self.throttle.rest(rows=rows, after_s=seconds)
        self._copied, self._copying_s = self._copied + rows, self._copying_s + seconds + time.monotonic() - began
        if self._copied:
            self.move.rows_per_s = round(self._copied / self._copying_s, 1)  # the rests belong to it

    def verified(self, rows: int, *, seconds: float) -> None:
        """Rows were compared on both sides: as ``copied``."""
        self.throttle.rest(rows=rows, after_s=seconds, is_limited=False)

    def unthrottled(self) -> None:
        """What can be slowed down is done; under a fence nobody probes."""
        self.throttle.stop()
        self.move.throttled_by = ""

    def _slowed(self, reason: str) -> bool:
        self.move.throttled_by, self.move.pressure = reason, self.throttle.level
        return self.goes_on()

    def repaired(self, table: str, keys: list[int]) -> None:
        """Rows that differed were found; they are copied again."""
        verdict = self.move.verdict or {}
        repaired = [*verdict.get("repaired", []), *({"table": table, "id": str(key)} for key in keys)]
        self.move.verdict = {
            **verdict,
            "repaired": repaired[:KEPT_REPAIRS],
            "repaired_rows": verdict.get("repaired_rows", 0) + len(keys),
        }

    def report(self) -> None:
        """Tell those who watch, at most four times a second, and keep the lease. ``TokenRefused`` if it was lost."""
        if time.monotonic() - self._told_at >= TELL_EVERY_S:
            self._told_at = time.monotonic()
            moves.tell_progress(self.move, now=timezone.now())
            self.throttle.look_again()

    def commit(self) -> None:
        """Ask the target to commit: from here on only the target can say whether the move has happened."""
        self.is_commit_sent = True
        try:
            self.reach("activate.commit")
        except failpoints.AnswerLost:
            self.target.pgconn.send_query(b"COMMIT")
            self.target.pgconn.finish()
            raise
        self.target.commit()

    def elapsed_ms(self) -> float:
        """How long the fence has been going up or standing."""
        return 0.0 if self.fence_began_at is None else (time.monotonic() - self.fence_began_at) * 1000

    def refuse_late(self) -> None:
        """``BudgetExceeded`` when the fence has stood for too long."""
        if self.elapsed_ms() > settings.MOVE_BUDGET_MS:
            raise BudgetExceeded(f"{self.elapsed_ms():.0f} ms under the fence; the budget is {settings.MOVE_BUDGET_MS}")

    def _open(self, name: str, shard: str) -> LimitedConnection:
        if name not in self._connections:
            limits = Limits(lock_ms=LOCK_MS, statement_ms=STATEMENT_MS, idle_ms=STATEMENT_MS)
            self._connections[name] = connect(shard, limits)
        return self._connections[name]

    def hurry(self) -> None:
        """From here on nothing may take longer than a fence may stand, and a little.

        Nor does this process look for cycles of garbage until the end: that takes as long as a fence, at any moment.
        """
        gc.disable()
        within_ms = settings.MOVE_BUDGET_MS + GRACE_MS
        limits = Limits(lock_ms=LOCK_MS, statement_ms=within_ms, idle_ms=2 * within_ms)
        for connection in (self.source, self.target, self.gate):
            connection.limit(limits.local())
