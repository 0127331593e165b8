"""Ports for what tests start: below those of outgoing connections, and each process of a test run has its own."""

import os
from collections.abc import Iterator
from itertools import cycle, islice

from forum_backend.embedded import why_not_listen

HOST = "127.0.0.1"
PORTS = range(18400, 20400)
# A process of a run begins somewhere in the first third of its part, so that two runs at once seldom meet.
PART, SPREAD = 300, 100


def _own_ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = PART * worker + os.getpid() % SPREAD
    return cycle([PORTS[number % len(PORTS)] for number in range(first, first + PART - SPREAD)])


_own = _own_ports()


def free_port() -> int:
    """One that nobody listens on, and another each time: who was given one may not listen yet."""
    return next(port for port in islice(_own, PART - SPREAD) if why_not_listen(port, host=HOST) is None)
