"""The whole service as real processes on servers of its own, for journeys and benchmarks; nothing is left behind."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from forum_backend.commands.service import ROOT, environment_with, processes
from forum_backend.embedded import EmbeddedServers, ProcessSpec, last_lines, spawn
from forum_backend.embedded.processes import MarkBook
from tests.ports import HOST, free_port

READY_LIMIT_S = 60.0
STEP_LIMIT_S = 120.0
STOP_LIMIT_S = 8.0
ROLES = ("web", "relay", "worker", "beat")


def wait_for(condition: Callable[[], bool], *, seconds: float, what: str, every_s: float = 0.02) -> None:
    """Wait on a condition, at most so long, else fail saying what did not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {seconds:.0f} s")
        time.sleep(every_s)


def http_get(port: int, path: str, *, seconds: float = 5.0) -> tuple[int, bytes]:
    """Status and body of a GET, on a connection of its own."""
    link = http.client.HTTPConnection(HOST, port, timeout=seconds)
    try:
        link.request("GET", path)
        answer = link.getresponse()
        return answer.status, answer.read()
    finally:
        link.close()


def answers(port: int, path: str = "/readyz") -> bool:
    """Whether a GET says 200 now."""
    try:
        return http_get(port, path)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


class Service:
    """`with Service() as service:` five databases, Redis, web, relay, worker and beat, ready to be asked."""

    def __init__(
        self,
        *,
        web_workers: int = 1,
        roles: Sequence[str] = ROLES,
        durable: bool = True,
        shards: int = 3,
        settings: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self._own = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="forum-service-"))
        self.directory.chmod(0o711)  # as root, the servers run as another user, who must be able to pass
        self.servers = EmbeddedServers(directory=self.directory, shards=shards, durable=durable)
        self.port = free_port()
        self._roles, self._workers, self._settings = tuple(roles), web_workers, dict(settings or {})
        self._children: dict[str, Any] = {}

    @property
    def host(self) -> str:
        return HOST

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What every process of the service gets."""
        addresses = self.servers.environment()
        environment = environment_with(addresses=addresses, data=self.directory)
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        own = {"LOG_LEVEL": "WARNING", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        return {**environment, **addresses, **own, **self._settings}

    @property
    def pids(self) -> dict[str, int]:
        """The running processes of the service and, by their names, its servers."""
        servers = {name: mark.pid for name, mark in MarkBook(self.directory / "servers.json").all().items()}
        return {**{name: child.pid for name, child in self._children.items()}, **servers}

    def __enter__(self) -> Self:
        try:
            self.servers.start()
            (self.directory / "logs").mkdir(exist_ok=True)
            self.manage("migrate_all")
            for name in self._roles:
                self.start(name)
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all processes, then the servers, and delete what they kept."""
        for child in self._children.values():
            child.send(signal.SIGTERM)
        for name in list(self._children):
            self.stop(name)
        if self._own:
            self.servers.destroy()
            shutil.rmtree(self.directory, ignore_errors=True)
        else:
            self.servers.stop()

    def log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def start(self, name: str, **settings: str) -> None:
        """Start web, relay, worker or beat (again), with more in its environment than the others have."""
        spec = self._spec(name)
        self._children[name] = spawn(argv=spec.argv, env={**spec.env, **settings}, cwd=spec.cwd, log=self.log(name))

    def stop(self, name: str) -> None:
        """Ask it to end, then end it."""
        child = self._children.pop(name)
        child.send(signal.SIGTERM)
        child.wait(seconds=STOP_LIMIT_S)
        child.kill_group()

    def kill(self, name: str) -> None:
        """SIGKILL, as in a crash."""
        self._children.pop(name).kill_group()

    def wait_ready(self) -> None:
        """Until `/readyz` says yes; a process that died meanwhile is named, with the end of its log."""
        deadline = time.monotonic() + READY_LIMIT_S
        while "web" in self._children and not self._web_answers():
            for name, child in self._children.items():
                if child.exit_code() is not None:
                    raise RuntimeError(f"{name} died while it started:\n{last_lines(self.log(name))}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not ready within {READY_LIMIT_S:.0f} s:\n{last_lines(self.log('web'))}")
            time.sleep(0.05)

    def _web_answers(self) -> bool:
        """Our own: another process may listen where ours could not."""
        return answers(self.port) and self._children["web"].exit_code() is None

    def manage(self, *words: str, **settings: str) -> str:
        """Run a management command to its end and return what it printed; its error output is in the exception."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *words],
            env={**self.environment, **settings},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=STEP_LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"manage.py {' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def token(self, username: str, *, staff: bool = False) -> str:
        """A token of this user, made if needed."""
        return self.manage("create_token", username, *(["--staff"] if staff else [])).strip()

    def get_json(self, path: str) -> Any:
        status, body = http_get(self.port, path)
        if status != 200:
            raise RuntimeError(f"GET {path} answered {status}: {body[:300]!r}")
        return json.loads(body)

    def _spec(self, name: str) -> ProcessSpec:
        specs = processes(
            environment=self.environment, host=HOST, port=self.port, workers=self._workers, data=self.directory
        )
        return next(spec for spec in specs if spec.name == name)
