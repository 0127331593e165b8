"""Deleting a forum's rows where they are not served: chunk by chunk while there is time."""

from collections.abc import Callable

import psycopg

from forum_backend.domain.moves import OwnershipMode
from forum_backend.services.forum_rows import purge_chunk
from workers.rebalance.patience import patiently


def purged(
    connection: psycopg.Connection,
    *,
    forum: int,
    epoch: int,
    token: int,
    mode: OwnershipMode,
    goes_on: Callable[[], bool],
) -> bool:
    """Whether the shard holds no row of the forum any more; ``goes_on`` is asked after each chunk.

    ``OwnershipRefused`` unless the shard still is in ``mode`` at this epoch for this token.
    """
    while patiently(lambda: purge_chunk(connection, forum=forum, epoch=epoch, token=token, mode=mode)):
        if not goes_on():
            return False
    return True
