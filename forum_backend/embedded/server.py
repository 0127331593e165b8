"""What every embedded server has in common: launch, wait until it answers, stop within a time limit."""

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import ServerFailed, StartCancelled
from .files import SavedSecrets, keep_end, last_lines
from .layout import Layout
from .ports import PortBook
from .processes import Child, MarkBook, end_marked, wait_until

START_LIMIT_S = 60.0
MAX_LAUNCHES = 4


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the servers of one directory share."""

    layout: Layout
    ports: PortBook
    secrets: SavedSecrets
    marks: MarkBook
    durable: bool


class Server(ABC):
    """One server process with its own data directory."""

    stop_steps: Sequence[tuple[int, float]]

    def __init__(self, *, name: str, surroundings: Surroundings) -> None:
        self.name = name
        self.around = surroundings
        self.data = surroundings.layout.data(name)
        self.log = surroundings.layout.logs / f"{name}.log"
        self.port = 0
        self._child: Child | None = None
        self._log_start = 0
        self._wanted = False

    @property
    def has_fallen(self) -> bool:
        """Whether it should be running and is not."""
        return self._wanted and (self._child is None or self._child.exit_code() is not None)

    def start(self, *, cancelled: Callable[[], bool]) -> None:
        """End what is left of an earlier run, launch, and wait until it answers."""
        if self._child is not None and self._child.exit_code() is None:
            return
        self._wanted = True
        self.end_leftovers()
        self.prepare()
        for launch in range(1, MAX_LAUNCHES + 1):
            self._refuse_if(cancelled)
            self.port = self.around.ports.free_port_for(self.name)
            self._launch_and_note()
            if self._answers_in_time(cancelled=cancelled):
                return
            if launch == MAX_LAUNCHES or not self.repair():
                break
        raise ServerFailed(f"{self.name} does not start; the end of {self.log}:\n{self.said()}")

    def _launch_and_note(self) -> None:
        keep_end(self.log)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._child = self.launch()
        self.around.marks.write(self.name, self._child.mark)

    def _answers_in_time(self, *, cancelled: Callable[[], bool]) -> bool:
        """True when it answers, False when it died."""
        deadline = time.monotonic() + START_LIMIT_S
        wait_until(lambda: self.died() or self.answers(), seconds=START_LIMIT_S, cut_short=cancelled)
        self._refuse_if(cancelled)
        if not self.died() and time.monotonic() >= deadline:
            raise ServerFailed(
                f"{self.name} did not answer within {START_LIMIT_S:.0f} s; the end of {self.log}:\n{self.said()}"
            )
        return not self.died()

    def _refuse_if(self, cancelled: Callable[[], bool]) -> None:
        if cancelled():
            raise StartCancelled(f"{self.name} was stopped while it started")

    def died(self) -> bool:
        return self._child is None or self._child.exit_code() is not None

    def said(self) -> str:
        """The end of what it logged since its last launch."""
        return last_lines(self.log, since=self._log_start)

    def end_leftovers(self) -> None:
        """End the process of an earlier run, if it still lives."""
        mark = self.around.marks.alive().get(self.name)
        if mark is not None and not end_marked(mark, steps=self.stop_steps):
            raise ServerFailed(f"{self.name} still runs as process {mark.pid} and does not end")

    def stop(self, *, cut_short: Callable[[], bool] = lambda: False) -> None:
        """Stop in order; harsher signals when that takes too long."""
        self._wanted = False
        child, self._child = self._child, None
        if child is None:
            return
        for number, seconds in self.stop_steps:
            child.send(number)
            if child.wait(seconds=seconds, cut_short=cut_short):
                break
        child.kill_group()
        self.around.marks.write(self.name, None)

    def kill(self) -> None:
        """Let it die on the spot, as in a power failure; it counts as fallen."""
        if self._child is not None:
            self._child.send(signal.SIGKILL)
            self._child.kill_group()

    @abstractmethod
    def prepare(self) -> None:
        """Make the data directory if it is missing."""

    @abstractmethod
    def launch(self) -> Child:
        """Start the process on `self.port`."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it is ready, and really our server."""

    @abstractmethod
    def repair(self) -> bool:
        """After it died while it started: whether another launch may help."""

    def make_private_folder(self, path: Path) -> None:
        path.mkdir(mode=0o700)
        self.around.layout.account.give(path, mode=0o700)
