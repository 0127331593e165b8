"""Taking a lock that writers hold: a short wait, again after a pause, a bounded number of times."""

import random
import time
from collections.abc import Callable

import psycopg

from forum_backend.services.ownership import LOCK_TIMEOUT_STATE

TRIES = 8
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.5


def patiently[T](take: Callable[[], T], *, tries: int = TRIES) -> T:
    """What ``take`` returns once it gets its lock within the connection's limit; the last time-out is raised."""
    for attempt in range(tries):
        try:
            return take()
        except psycopg.Error as error:
            if error.sqlstate != LOCK_TIMEOUT_STATE or attempt == tries - 1:
                raise
        pause_s = min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S)
        time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads movers, no secret
    raise AssertionError("the last attempt returns or raises")
