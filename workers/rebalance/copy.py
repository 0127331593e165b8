"""COPYING: the forum's rows in chunks by key, each with its progress in one transaction of the target."""

import time

from forum_backend.domain.moves import MoveState
from forum_backend.services.forum_rows import FORUM_TABLES
from forum_backend.services.ownership import raise_token
from workers.rebalance import progress
from workers.rebalance.copy_chunk import CHUNK
from workers.rebalance.mover import Mover
from workers.rebalance.step import Step
from workers.rebalance.streams import Streams


def copy(mover: Mover) -> bool:
    """Chunk by chunk until all tables are done; returns False when its time is up."""
    with Streams(mover.forward, mover.second) as streams:
        is_copied = copy_tables(mover, streams)
    if is_copied:
        # A write that is waited for: with it all chunks are on the disk, and a crash cannot take them any more.
        raise_token(mover.target, forum=mover.move.forum_id, token=mover.move.token)
    return is_copied


def copy_tables(mover: Mover, streams: Streams) -> bool:
    """Two chunks are on their way at a time as long as nobody suffers from it."""
    found = progress.read(mover.target, forum=mover.move.forum_id)
    if not any(done.copied_to or done.is_copied for done in found.values()):
        mover.move.rows_done = 0  # an attempt that begins anew; the next task of the same one counts on
    for table in FORUM_TABLES:
        done = found[table.name]
        while not done.is_copied:
            began = time.monotonic()
            size = min(CHUNK, mover.throttle.rows)
            rows = streams.copy_chunk(table, done, size=size, is_waited_for=not mover.throttle.is_unnoticed)
            mover.copied(rows, seconds=time.monotonic() - began)
            if mover.is_time_up:
                return False
    return True


STEP = Step("copy", MoveState.COPYING, MoveState.CATCHING_UP, copy)
