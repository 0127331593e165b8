"""`manage.py up` as a process: ready, watched over, stopped by a signal at any time, and nothing left."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forum_backend.commands import service
from forum_backend.embedded.files import read_json
from forum_backend.embedded.processes import mark_of, wait_until
from forum_backend.embedded.servers import EmbeddedServers

ROOT = Path(__file__).resolve().parents[2]
# The real command with its real servers; only the project's own steps and processes are replaced.
UP = """
import sys
from pathlib import Path
from forum_backend.commands import service
from forum_backend.embedded import ProcessSpec
import manage

step, web = sys.argv[1], sys.argv[2]
def steps(*, environment, demo, staff_password):
    spec = ProcessSpec(name="a_step", argv=[sys.executable, "-c", step], env=environment)
    return [service.Step(title="A step", spec=spec)]
def processes(*, environment, host, port, workers, data):
    return [ProcessSpec(name="web", argv=[sys.executable, "-c", web, host, str(port)], env=environment),
            ProcessSpec(name="relay", argv=[sys.executable, "-c", "import time; time.sleep(300)"], env=environment)]
service.steps, service.processes = steps, processes
sys.argv = ["manage.py", "up", *sys.argv[3:]]
manage.main()
"""
GOOD_STEP = "import os; print(sorted(name for name in os.environ if 'URL' in name or name == 'SHARDS'))"
WEB = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
HTTPServer((sys.argv[1], int(sys.argv[2])), Ready).serve_forever()
"""


NOT_INHERITED = (*service.ADDRESSES, "SECRET_KEY", "FORUM_DATA", "STAFF_PASSWORD")


class Up:
    """One run of the command."""

    def __init__(self, data: Path, *, step: str = GOOD_STEP, web: str = WEB, options: tuple[str, ...] = ()) -> None:
        self.data = data
        handle, name = tempfile.mkstemp(prefix="output-", dir=data.parent)
        os.close(handle)
        self.output = Path(name)
        environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", UP, step, web, "--data", str(data), "--shards", "1", *options],
                env={**environment, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def until(self, text: str, *, times: int = 1) -> None:
        found = wait_until(lambda: self.said.count(text) >= times or self.process.poll() is not None, seconds=60)
        assert found, self.said
        assert self.said.count(text) >= times, self.said

    def pids(self) -> dict[str, int]:
        books = (self.data / "servers.json", self.data / "processes.json")
        return {name: entry["pid"] for book in books for name, entry in read_json(book).items()}

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=20)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One data directory for all: making the servers takes seconds."""
    path = Path(tempfile.mkdtemp(prefix="forum-up-"))
    path.chmod(0o711)
    yield path
    EmbeddedServers(directory=path / "data", shards=1).destroy()
    shutil.rmtree(path)


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Up]]:
    runs: list[Up] = []

    def run(**more: object) -> Up:
        runs.append(Up(folder / "data", **more))  # type: ignore[arg-type]
        return runs[-1]

    yield run
    for up in runs:
        if up.process.poll() is None:
            up.stop(signal.SIGTERM)


def test_a_life_of_the_service(start: Callable[..., Up]) -> None:
    up = start()
    up.until("Ctrl-C stops everything")
    assert re.search(r"Front page +http://localhost:\d+/\n", up.said)
    assert re.search(r"admin / \S{40,}\n", up.said)
    steps = (up.data / "logs" / "a_step.log").read_text()
    assert all(name in steps for name in ("DATABASE_URL", "PROFILES_DATABASE_URL", "SHARDS", "REDIS_URL"))
    assert (up.data / "environment").stat().st_mode & 0o777 == 0o600

    second = start()
    assert second.process.wait(timeout=30) == 1
    assert f"in use by process {up.process.pid}" in second.said

    before = up.pids()
    assert set(before) == {"control", "profiles", "shard_00", "redis", "web", "relay"}
    for name in ("shard_00", "relay"):
        os.kill(before[name], signal.SIGKILL)
    up.until("shard_00 runs again")
    assert wait_until(lambda: up.pids().get("relay") not in (None, before["relay"]), seconds=20)

    running = up.pids()
    assert up.stop(signal.SIGINT) == 0
    assert all(mark_of(number) is None for number in (*running.values(), *before.values()))
    assert up.said.endswith("Stopped.\n")


def test_after_kill_9_the_next_start_repairs(start: Callable[..., Up]) -> None:
    up = start()
    up.until("Ctrl-C stops everything")
    orphans = up.pids()
    up.stop(signal.SIGKILL)
    again = start()
    again.until("Ctrl-C stops everything")
    assert all(mark_of(number) is None for number in orphans.values())
    assert again.stop(signal.SIGTERM) == 0


def test_a_signal_while_a_step_runs_stops_everything(start: Callable[..., Up]) -> None:
    up = start(step="import time; print('busy', flush=True); time.sleep(300)")
    log = up.data / "logs" / "a_step.log"
    up.until("A step")
    assert wait_until(lambda: log.exists() and "busy" in log.read_text(), seconds=60), up.said
    running = up.pids()
    assert len(running) == 4
    assert up.stop() == 0
    assert all(mark_of(number) is None for number in running.values())


def test_a_signal_while_the_servers_are_made_stops_everything(start: Callable[..., Up]) -> None:
    up = start()
    up.until("Looking for PostgreSQL")
    assert up.stop() == 0
    assert up.pids() == {}
    assert "Traceback" not in up.said


def test_a_failing_step_ends_the_start_with_its_words(start: Callable[..., Up]) -> None:
    up = start(step="import sys; sys.exit('the tables are crooked')")
    assert up.process.wait(timeout=60) == 1
    assert "a_step failed" in up.said
    assert "the tables are crooked" in up.said
    assert up.pids() == {}


def test_a_web_process_that_dies_ends_the_start_with_its_words(start: Callable[..., Up]) -> None:
    up = start(web="import sys; sys.exit('no such application')")
    assert up.process.wait(timeout=60) == 1
    assert "no such application" in up.said
    assert "web died while it started" in up.said
    assert up.pids() == {}


def test_a_stubborn_process_is_killed_in_the_end(start: Callable[..., Up]) -> None:
    up = start(web="import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WEB)
    up.until("Ctrl-C stops everything")
    running = up.pids()
    up.process.send_signal(signal.SIGINT)
    up.until("Stopping")
    assert up.stop(signal.SIGINT) == 0  # the second one: no more patience
    assert all(mark_of(number) is None for number in running.values())
