"""The supervisor with real processes: restarts, bounds, and nothing left behind."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forum_backend.embedded import ProcessSpec, Supervisor
from forum_backend.embedded.files import read_json, write_json
from forum_backend.embedded.processes import mark_of, wait_until

# Says the number of a child of its own, which like itself does not care about SIGTERM.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print(child.pid, flush=True)
time.sleep(300)
"""
SUPERVISE = f"""
import sys
from pathlib import Path
from forum_backend.embedded import ProcessSpec, Supervisor
spec = ProcessSpec(name="stubborn", argv=[sys.executable, "-c", {STUBBORN!r}], env={{}})
Supervisor(processes=[spec], directory=Path(sys.argv[1]), notify=print).start()
print("started", flush=True)
sys.stdin.read()
"""


def spec(name: str, program: str, *, stop_s: float = 5.0) -> ProcessSpec:
    return ProcessSpec(name=name, argv=[sys.executable, "-c", program], env={"KEY": "value"}, stop_s=stop_s)


def last_number(path: Path) -> int:
    """The last number in the log, once it is there."""
    assert wait_until(lambda: path.exists() and path.read_text().endswith("\n"), seconds=20)
    return int(path.read_text().split()[-1])


class Running:
    """A supervisor, its notes, and an end to it whatever happens."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.said, self.now = directory, list[str](), 0.0
        self.supervisor = Supervisor(processes=[], directory=directory, notify=self.said.append)

    def start(self, *specs: ProcessSpec) -> Supervisor:
        self.supervisor = Supervisor(
            processes=specs, directory=self.directory, notify=self.said.append, clock=lambda: self.now
        )
        self.supervisor.start()
        return self.supervisor


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    found = Running(tmp_path)
    yield found
    found.supervisor.stop(cut_short=lambda: True)


def test_a_process_gets_its_environment_and_its_log(running: Running) -> None:
    supervisor = running.start(
        spec("one", "import os; print(os.environ['KEY'], flush=True); import time; time.sleep(99)")
    )
    log = supervisor.log_of("one")
    assert wait_until(lambda: "value" in log.read_text(), seconds=20)
    assert running.said == []


def test_what_dies_is_started_again(running: Running) -> None:
    supervisor = running.start(spec("one", "import time; time.sleep(99)"), spec("two", "import time; time.sleep(99)"))
    first, other = supervisor.pid_of("one"), supervisor.pid_of("two")
    subprocess.run(["kill", "-9", str(first)], check=True)
    assert wait_until(lambda: supervisor.has_died("one"), seconds=10)
    supervisor.check()
    assert supervisor.pid_of("one") == first
    running.now += 1
    supervisor.check()
    assert supervisor.pid_of("one") != first
    assert supervisor.pid_of("two") == other
    assert "one died and is started again" in running.said[0]


def test_what_cannot_run_is_given_up_with_its_last_words(running: Running) -> None:
    supervisor = running.start(
        spec("bad", "import sys; sys.exit('no such thing')"), spec("good", "import time; time.sleep(99)")
    )
    for _ in range(8):
        assert wait_until(lambda: supervisor.has_died("bad"), seconds=20)
        supervisor.check()
        running.now += 8
        supervisor.check()
    assert supervisor.deaths("bad") == 6
    assert "stays down" in running.said[-1]
    assert "no such thing" in running.said[-1]


def test_stop_ends_the_stubborn_and_their_children(running: Running) -> None:
    supervisor = running.start(spec("stubborn", STUBBORN, stop_s=0.2))
    grandchild = last_number(supervisor.log_of("stubborn"))
    number = supervisor.pid_of("stubborn")
    assert mark_of(grandchild)
    supervisor.stop()
    assert mark_of(number) is None
    assert wait_until(lambda: mark_of(grandchild) is None, seconds=5)
    assert read_json(running.directory / "processes.json") == {}


def test_leftovers_of_a_killed_supervisor_are_ended(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        grandchild = last_number(tmp_path / "logs" / "stubborn.log")
        parent.send_signal(signal.SIGKILL)
    orphan = read_json(tmp_path / "processes.json")["stubborn"]["pid"]
    assert mark_of(orphan)
    assert Supervisor(processes=[], directory=tmp_path, notify=print).end_leftovers() == ["stubborn"]
    assert mark_of(orphan) is None
    assert mark_of(grandchild) is None


def test_a_stranger_with_a_noted_number_is_not_touched(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        write_json(tmp_path / "processes.json", {"web": {"pid": stranger.pid, "started": "another boot/1"}})
        assert Supervisor(processes=[], directory=tmp_path, notify=print).end_leftovers() == []
        assert stranger.poll() is None
        stranger.kill()
