"""Processes that tests start, watch and kill: a relay, a web server with the websockets."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import HOST, free_port

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 30.0
PAUSE_S = 0.01


def eventually[T](read: Callable[[], T], is_right: Callable[[T], object] = bool, *, limit_s: float = LIMIT_S) -> T:
    """The first value that is right; fails with the last one seen after the time limit."""
    deadline = time.monotonic() + limit_s
    while not is_right(value := read()):
        assert time.monotonic() < deadline, f"not within {limit_s:.0f} s; last seen: {value!r}"
        time.sleep(PAUSE_S)
    return value


class Relay:
    """`manage.py relay` as a process of its own."""

    def __init__(self, *options: str) -> None:
        words = [sys.executable, str(ROOT / "manage.py"), "relay", *options]
        self._process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith(b"The relay runs")

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)

    def stop(self) -> float:
        """Ask it to end; returns the seconds that took."""
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=10) == 0
        return time.monotonic() - started

    def end(self) -> None:
        """However it can be: a killed one's lease is waited for by the next."""
        self._process.terminate()
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None


@contextmanager
def relay(*options: str) -> Iterator[Relay]:
    process = Relay(*options)
    try:
        yield process
    finally:
        process.end()


@contextmanager
def web(application: str, **environment: str) -> Iterator[int]:
    """A web process with this application; gives its port once it answers."""
    port = free_port()
    words = ["--host", HOST, "--port", str(port), "--ws", "websockets-sansio", "--log-level", "warning"]
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", application, *words, "--timeout-graceful-shutdown", "2"],
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    try:
        eventually(lambda: _answers(port) or process.poll() is not None)
        assert process.poll() is None, "the web process died"
        yield port
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
