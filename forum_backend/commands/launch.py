"""The course of `manage.py up`: servers, steps, processes, ready, watch, stop."""

import http.client
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from forum_backend.embedded import (
    EmbeddedError,
    EmbeddedServers,
    KeptAlive,
    ProcessSpec,
    ServerFailed,
    StartCancelled,
    Supervisor,
    last_lines,
    spawn,
)

from .display import Display
from .service import STEP_LIMIT_S, Step
from .stopping import StopRequests

READY_LIMIT_S = 60.0
WATCH_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that depends on the servers' addresses, made once these are known."""

    steps: Sequence[Step]
    processes: Sequence[ProcessSpec]
    ready: Callable[[], bool]


def answers(*, host: str, port: int, path: str) -> bool:
    """Whether a GET of this page says 200."""
    link = http.client.HTTPConnection(host, port, timeout=5)
    try:
        link.request("GET", path)
        return link.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()


class Launch:
    """One run of the service; `stop` is safe at any point of it."""

    def __init__(
        self, *, data: Path, servers: EmbeddedServers | None, stopping: StopRequests, display: Display
    ) -> None:
        self._data = data
        self._servers = servers
        self._stopping = stopping
        self._display = display
        self._supervisor: Supervisor | None = None

    def start_servers(self) -> Mapping[str, str]:
        """Their addresses; none when the servers exist already."""
        if self._servers is None:
            return {}
        self._servers.start(
            progress=lambda text, done: self._display.step(text, done * 0.3), cancelled=self._stopping.asked
        )
        return self._servers.environment()

    def run(self, plan: Plan) -> None:
        """From the first step until all is ready."""
        self._supervisor = Supervisor(processes=plan.processes, directory=self._data, notify=self._display.say)
        self._run_steps([step for step in plan.steps if not step.alongside], since=0.3)
        self._display.step("Starting web, relay, worker and beat", 0.5)
        self._supervisor.start()
        self._run_steps([step for step in plan.steps if step.alongside], since=0.55)
        self._display.step("Waiting until the service is ready", 0.8)
        self._wait_ready(plan, self._supervisor)

    def _run_steps(self, steps: Sequence[Step], *, since: float) -> None:
        for number, step in enumerate(steps):
            self._display.step(step.title, since + 0.1 * number)
            self._run_step(step)

    def _run_step(self, step: Step) -> None:
        log = self._data / "logs" / f"{step.spec.name}.log"
        log.unlink(missing_ok=True)
        child = spawn(argv=step.spec.argv, env=step.spec.env, cwd=step.spec.cwd, log=log)
        try:
            child.wait(seconds=STEP_LIMIT_S, cut_short=self._stopping.asked)
            code = child.exit_code()
        finally:
            child.kill_group()
        self._refuse_if_stopping()
        if code is None:
            raise ServerFailed(f"{step.spec.name} took longer than {STEP_LIMIT_S:.0f} s; its log is {log}")
        if code != 0:
            raise ServerFailed(f"{step.spec.name} failed; the end of {log}:\n{last_lines(log)}")

    def _wait_ready(self, plan: Plan, supervisor: Supervisor) -> None:
        deadline = time.monotonic() + READY_LIMIT_S
        first = plan.processes[0].name
        while not plan.ready():
            self._refuse_if_stopping()
            supervisor.check()
            if supervisor.deaths(first):
                raise ServerFailed(f"{first} died while it started; its log is {supervisor.log_of(first)}")
            if time.monotonic() > deadline:
                log = supervisor.log_of(first)
                raise ServerFailed(
                    f"{first} was not ready within {READY_LIMIT_S:.0f} s; the end of {log}:\n{last_lines(log)}"
                )
            self._stopping.wait(seconds=0.1)

    def _refuse_if_stopping(self) -> None:
        if self._stopping.asked():
            raise StartCancelled("stopped while starting")

    def watch(self) -> None:
        """Until asked to stop: start again what dies by itself."""
        servers = self._kept_servers()
        while not self._stopping.wait(seconds=WATCH_S):
            for server in servers:
                server.check()
            if self._supervisor is not None:
                self._supervisor.check()

    def _kept_servers(self) -> list[KeptAlive]:
        servers = self._servers
        if servers is None:
            return []
        return [
            KeptAlive(
                name=name,
                has_died=partial(_has_fallen, servers, name),
                restart=partial(self._restart_server, servers, name),
                log=servers.log_of(name),
                notify=self._display.say,
            )
            for name in servers.names
        ]

    def _restart_server(self, servers: EmbeddedServers, name: str) -> None:
        try:
            servers.start_server(name, cancelled=self._stopping.asked)
        except StartCancelled:
            return
        except EmbeddedError as error:
            self._display.say(str(error))
        else:
            self._display.say(f"{name} runs again")

    def stop(self) -> None:
        """Processes first, all at once, then the servers; a second signal hurries."""
        if self._supervisor is not None:
            self._supervisor.stop(cut_short=self._stopping.urgent)
        if self._servers is not None:
            self._servers.stop(cut_short=self._stopping.urgent)


def _has_fallen(servers: EmbeddedServers, name: str) -> bool:
    return name in servers.fallen()
