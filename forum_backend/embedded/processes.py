"""Start, recognise and end operating system processes of our own, and never anybody else's."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from . import child
from .account import Account
from .files import read_json, write_json

POLL_S = 0.02
_CHILD_PROGRAM = child.__file__
# Linux sends the death signal when the *thread* that started the child ends, so one thread that lives
# as long as this process starts all children. They inherit its mask.
_spawner = ThreadPoolExecutor(
    max_workers=1,
    thread_name_prefix="spawner",
    initializer=partial(signal.pthread_sigmask, signal.SIG_BLOCK, child.HELD_BACK),
)


@dataclass(frozen=True)
class ProcessMark:
    """A process id with the time the process started: together they never name a stranger."""

    pid: int
    started: str


def mark_of(pid: int) -> ProcessMark | None:
    """The mark of a living process; None when there is none (a zombie is none)."""
    if sys.platform != "linux":
        return _mark_from_ps(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ProcessMark(pid, f"{boot}/{fields[19]}")


def _mark_from_ps(pid: int) -> ProcessMark | None:
    state, _, started = _ps("-o", "state=,lstart=", "-p", str(pid)).strip().partition(" ")
    return ProcessMark(pid, started.strip()) if started and not state.startswith("Z") else None


def _ps(*options: str) -> str:
    return subprocess.run(["/bin/ps", *options], capture_output=True, text=True, timeout=10, check=False).stdout


def command_line(pid: int) -> str:
    """The words a process was started with; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return "" if sys.platform == "linux" else _ps("-o", "command=", "-p", str(pid))


def children_of(pid: int) -> list[int]:
    """The living children of a process."""
    if sys.platform != "linux":
        rows = (line.split() for line in _ps("-A", "-o", "pid=,ppid=").splitlines())
        return [int(row[0]) for row in rows if row[1] == str(pid)]
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def session_members(leader: ProcessMark) -> list[ProcessMark]:
    """Living processes of the session that this process led; Linux only, elsewhere the leader alone is known.

    The number of a session is not given to a new process while a member lives, so members are no strangers,
    unless the leader's number already leads somebody else's session.
    """
    if sys.platform != "linux" or mark_of(leader.pid) not in (leader, None):
        return []
    boot, _, since = leader.started.rpartition("/")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        mark = mark_of(int(folder.name))
        if mark is None or mark == leader or not mark.started.startswith(f"{boot}/"):
            continue
        if _session_of(mark.pid) == leader.pid and int(mark.started.rpartition("/")[2]) >= int(since):
            found.append(mark)
    return found


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def wait_until(condition: Callable[[], bool], *, seconds: float, cut_short: Callable[[], bool] = lambda: False) -> bool:
    """Wait for the condition, at most so long; tells whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline or cut_short():
            return condition()
        time.sleep(POLL_S)
    return True


def send(pid: int, number: int, *, group: bool = False) -> None:
    try:
        (os.killpg if group else os.kill)(pid, number)
    except (ProcessLookupError, PermissionError):
        # Gone already. macOS says "not permitted" of a group that consists of a zombie.
        return


def end_marked(mark: ProcessMark, *, steps: Sequence[tuple[int, float]]) -> bool:
    """Send each signal in turn, each with the seconds it may take; tells whether the process has ended."""
    for number, seconds in steps:
        if mark_of(mark.pid) != mark:
            return True
        send(mark.pid, number)
        wait_until(lambda: mark_of(mark.pid) != mark, seconds=seconds)
    return mark_of(mark.pid) != mark


class Child:
    """A process we started, leader of its own session, so that the terminal's Ctrl-C does not reach it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid = process.pid
        self.mark = mark_of(process.pid)

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def send(self, number: int) -> None:
        if self.exit_code() is None:
            send(self.pid, number)

    def wait(self, *, seconds: float, cut_short: Callable[[], bool] = lambda: False) -> bool:
        return wait_until(lambda: self.exit_code() is not None, seconds=seconds, cut_short=cut_short)

    def kill_group(self) -> None:
        """SIGKILL for the process and whatever it left in its session's first group."""
        send(self.pid, signal.SIGKILL, group=True)
        self.wait(seconds=5)


def spawn(
    *,
    argv: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    death_signal: int = signal.SIGTERM,
    account: Account | None = None,
    cwd: Path = Path("/"),
    stdin: bytes | None = None,
) -> Child:
    """Start a process that ends when this one does, its output going to the log."""
    uid, gid = (account.uid, account.gid) if account and account.is_other else (-1, -1)
    words = [str(os.getpid()), str(int(death_signal)), str(uid), str(gid), *argv]

    def start() -> Child:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", _CHILD_PROGRAM, *words],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if process.stdin is not None:
            with process.stdin as pipe:
                pipe.write(stdin or b"")
        return Child(process)

    return _spawner.submit(start).result()


class MarkBook:
    """A file that names the processes we started, for whoever cleans up after a crash."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()

    def write(self, name: str, mark: ProcessMark | None) -> None:
        with self._guard:
            book = read_json(self._path)
            if mark is None:
                book.pop(name, None)
            else:
                book[name] = {"pid": mark.pid, "started": mark.started}
            write_json(self._path, book)

    def all(self) -> dict[str, ProcessMark]:
        marks = {name: _mark_in(entry) for name, entry in read_json(self._path).items()}
        return {name: mark for name, mark in marks.items() if mark is not None}

    def alive(self) -> dict[str, ProcessMark]:
        """Those in the book that still live, each checked to be the very process that was noted."""
        return {name: mark for name, mark in self.all().items() if mark_of(mark.pid) == mark}


def _mark_in(entry: Any) -> ProcessMark | None:
    try:
        return ProcessMark(int(entry["pid"]), str(entry["started"]))
    except (KeyError, TypeError, ValueError):
        return None
