"""A calm moment for a fence: while a server vacuums or analyses, all that it is asked for takes twice as long.

Autovacuum works in short bursts, mostly, and many servers do so at the same second of each minute. One that lasts is
not waited for: it works slowly, so that nobody is held up by it.
"""

import time

import psycopg

from workers.rebalance.mover import Mover

PATIENCE_S, LOOK_EVERY_S = 3.0, 0.1
# In any of the server's databases; everybody may see that there is a line.
MAINTAINED_SQL = "SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum) OR EXISTS (SELECT FROM pg_stat_progress_analyze)"


def await_calm(mover: Mover) -> bool:
    """Wait for both servers, for three seconds at most; False if the mover's time is up before."""
    until = time.monotonic() + PATIENCE_S
    while (busy := _maintained(mover)) and time.monotonic() < until:
        mover.move.throttled_by = f"{' and '.join(busy)} vacuums or analyses: the fence waits up to {PATIENCE_S:.0f} s"
        if not mover.goes_on():
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def is_maintained(connection: psycopg.Connection) -> bool:
    """Whether a server vacuums or analyses now."""
    row = connection.execute(MAINTAINED_SQL).fetchone()
    return bool(row and row[0])


def _maintained(mover: Mover) -> list[str]:
    sides = {mover.move.source_id: mover.source, mover.move.target_id: mover.target}
    return [shard for shard, connection in sides.items() if is_maintained(connection)]
