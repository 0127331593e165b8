"""CATCHING_UP: what changed since ARMED is brought over by state: ids of the log, and their rows of that moment."""

import time

import psycopg

from forum_backend.domain.moves import MoveState
from workers.rebalance.delta import MOST, apply, read_delta, read_log
from workers.rebalance.flow import Flow, forget
from workers.rebalance.mover import DIFFERED, Mover
from workers.rebalance.step import Step
from workers.rebalance.verify import begin_anew, has_begun, verify

BATCH = 2_000
LAG_SQL = "SELECT count(*) FROM changed_row WHERE forum_id = %s"


def catch_up(mover: Mover) -> bool:
    """Until little is left, then every row is verified; what changes meanwhile is for the time before the fence."""
    flow = mover.forward
    if mover.move.verdict and DIFFERED in mover.move.verdict:
        begin_anew(flow)
        mover.move.verdict = {name: told for name, told in mover.move.verdict.items() if name != DIFFERED}
    if not has_begun(flow):
        while bring_over(flow) == BATCH:
            mover.move.lag = lag_of(flow)
            if not mover.goes_on():
                return False
    return verify(mover)


def bring_over(flow: Flow, *, batch: int = BATCH) -> int:
    """One batch of the log: applied, read back, compared, forgotten. Returns how many entries it had."""
    while True:
        try:
            return _bring_over(flow, batch)
        except psycopg.errors.ForeignKeyViolation:
            # A batch that ends within a writer's transaction may refer to rows of the next one.
            flow.target.rollback()
            flow.end_view()
            if batch >= MOST:
                raise
            batch = min(batch * 8, MOST)


def _bring_over(flow: Flow, batch: int) -> int:
    flow.begin_view()
    try:
        delta = read_delta(flow, batch=batch) if batch <= BATCH else read_log(flow, batch=batch)
        if delta.entries:
            with flow.target.transaction():
                flow.enter()
                apply(flow, delta)
    finally:
        flow.end_view()
    if delta.entries:
        forget(flow, delta.entries)
    return len(delta.entries)


def lag_of(flow: Flow) -> int:
    """How many entries wait in the log."""
    row = flow.source.execute(LAG_SQL, (flow.forum,)).fetchone()
    return int(row[0]) if row else 0


def timed_batch(flow: Flow) -> tuple[int, float]:
    """A batch, and the milliseconds that it took."""
    began = time.monotonic()
    entries = bring_over(flow)
    return entries, (time.monotonic() - began) * 1000


STEP = Step("catch_up", MoveState.CATCHING_UP, MoveState.VERIFIED, catch_up)
