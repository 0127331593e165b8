"""Deleting a forum's rows where they are not served: chunk by chunk while there is time, as fast as others allow."""

import time
from collections.abc import Callable

import psycopg

from forum_backend.domain.moves import OwnershipMode
from forum_backend.services.forum_rows import purge_chunk
from workers.rebalance.patience import patiently
from workers.rebalance.throttle import Throttle


def purged(
    connection: psycopg.Connection,
    *,
    forum: int,
    epoch: int,
    token: int,
    mode: OwnershipMode,
    throttle: Throttle,
    goes_on: Callable[[], bool],
) -> bool:
    """Whether the shard holds no row of the forum any more; ``goes_on`` is asked after each chunk, and after a rest.

    ``OwnershipRefused`` unless the shard still is in ``mode`` at this epoch for this token.
    """

    def delete() -> int:
        return purge_chunk(connection, forum=forum, epoch=epoch, token=token, mode=mode, size=throttle.rows)

    began = time.monotonic()
    while rows := patiently(delete):
        throttle.rest(rows=rows, after_s=time.monotonic() - began, is_limited=False)
        if not goes_on():
            return False
        began = time.monotonic()
    return True
