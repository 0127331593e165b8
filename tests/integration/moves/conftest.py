"""Servers that die in a test, and are back before the next one."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from forum_backend.domain.errors import ShardUnavailable
from forum_backend.embedded import EmbeddedServers
from forum_backend.queries.forum_read import ownership_on

TIME_LIMIT_S, TURN_S = 20.0, 30.0


@pytest.fixture(autouse=True)
def limits(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moves end once they are settled, unless a test says otherwise; a fence, and a mover's turn, may take what a busy
    machine takes.
    """
    from workers.rebalance.runner import drive

    monkeypatch.setitem(drive.__kwdefaults__, "time_limit_s", TURN_S)
    settings.MOVE_RETENTION_S = 0
    settings.MOVE_BUDGET_MS = 1_500
    # Moves that other tests left half way take nobody's place.
    settings.MOVES_PER_SHARD = settings.MOVES_AT_ONCE = 1_000


@pytest.fixture(autouse=True, scope="module")
def _no_moves_of_others() -> None:
    """Which files ran before in this process may be different each time: what they left half way is over."""
    from tests.integration.web.fleet import end_moves

    end_moves()


@pytest.fixture
def kill(servers: EmbeddedServers) -> Iterator[Callable[[str], None]]:
    """Kills a shard's server; it runs again, and this process knows it, when the test is over."""
    dead: set[str] = set()

    def killer(shard: str) -> None:
        servers.kill_server(shard)
        dead.add(shard)

    yield killer
    for shard in dead:
        servers.start_server(shard)
    for shard in dead:
        wait_until_it_answers(shard)


def wait_until_it_answers(shard: str) -> None:
    deadline = time.monotonic() + TIME_LIMIT_S
    while True:
        try:
            ownership_on(shard, 1)
        except ShardUnavailable:
            assert time.monotonic() < deadline, f"{shard} did not come back"
            time.sleep(0.02)  # until the pause is over that a dead server is given
        else:
            return
