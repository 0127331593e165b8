"""A child is told to end at any moment of its start, and ends."""

import os
import signal
from pathlib import Path

from forum_backend.embedded.processes import command_line, mark_of, spawn, wait_until

PROGRAM = ["sleep", "60"]
TRIES = 20


def has_python_begun(pid: int) -> bool:
    """Whether Python, which starts the program, has set its own handler by now; true once the program is there."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    caught = int(status["SigCgt"].strip(), 16)
    return bool(caught >> (signal.SIGINT - 1) & 1) or command_line(pid).split() == PROGRAM


def test_a_signal_in_the_middle_of_the_start_is_not_lost(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for _ in range(TRIES):
        child = spawn(argv=PROGRAM, env={"PATH": os.defpath}, log=log)
        assert wait_until(lambda pid=child.pid: has_python_begun(pid), seconds=20)
        child.send(signal.SIGINT)
        ended = child.wait(seconds=20)
        child.kill_group()
        assert ended
        assert child.exit_code() == -signal.SIGINT
        assert mark_of(child.pid) is None
    assert log.read_text() == ""  # ended by the signal itself, not by an error of Python's


def test_a_signal_ends_a_child_of_a_process_that_ignores_it(tmp_path: Path) -> None:
    """As the shell has it for what it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = spawn(argv=PROGRAM, env={"PATH": os.defpath}, log=tmp_path / "log")
    finally:
        signal.signal(signal.SIGINT, before)
    assert wait_until(lambda: command_line(child.pid).split() == PROGRAM, seconds=20)
    child.send(signal.SIGINT)
    ended = child.wait(seconds=20)
    child.kill_group()
    assert ended
