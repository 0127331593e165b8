"""Celery drives moves: a real worker and a real beat; a worker that is killed under the fence loses nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.moves import MoveState
from tests.integration.moves.driving import content, owners, populated

CELERY = [sys.executable, "-m", "celery", "-A", "workers.app"]
ROOT = Path(__file__).parents[3]
TIME_LIMIT_S = 60.0
SETTINGS = {"MOVE_RETENTION_S": "0", "MOVE_BUDGET_MS": "1500", "MOVE_LEASE_S": "5"}
type Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts Celery processes, each in a session of its own, and ends them."""
    running: list[subprocess.Popen[bytes]] = []

    def starter(*words: str) -> "subprocess.Popen[bytes]":
        with (tmp_path / "celery.log").open("ab") as log:
            process = subprocess.Popen(
                [*CELERY, *words, "--loglevel", "WARNING"], cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **SETTINGS},
            )  # fmt: skip
        running.append(process)
        return process

    yield starter
    for process in running:
        end(process, signal.SIGTERM)


def end(process: "subprocess.Popen[bytes]", how: signal.Signals) -> None:
    """Signal a process and all that it started; wait for it."""
    try:
        os.killpg(process.pid, how)
        process.wait(10)
    except ProcessLookupError:
        process.wait(1)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Look again every few milliseconds, for a limited time."""
    deadline = time.monotonic() + TIME_LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def state_of(move: Move) -> str:
    return str(Move.objects.values_list("state", flat=True).get(pk=move.pk))


def test_a_worker_and_beat_move_a_forum_and_a_killed_worker_loses_nothing(start: Start, tmp_path: Path) -> None:
    worker_words = ("worker", "--concurrency", "1", "-Q", "default,moves")
    worker = start(*worker_words)
    start("beat", "-s", str(tmp_path / "schedule"), "--pidfile=")
    place = populated()
    before = content(place.forum)
    move = place.plan()
    wait_until(lambda: state_of(move) == MoveState.CLEANED)
    assert owners(place.forum) == ["shard_01"]
    assert content(place.forum) == before

    back = place.plan("shard_00")
    wait_until(lambda: state_of(back) != MoveState.PLANNED)
    end(worker, signal.SIGKILL)
    place.write("while no worker lives")
    written = content(place.forum)
    start(*worker_words)
    wait_until(lambda: state_of(back) == MoveState.CLEANED)
    assert owners(place.forum) == ["shard_00"]
    assert content(place.forum) == written
