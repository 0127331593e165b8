"""Keep a set of processes running: start, restart within bounds, stop all without leaving one behind."""

import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .files import keep_end, last_lines
from .processes import Child, MarkBook, ProcessMark, end_marked, mark_of, send, session_members, spawn, wait_until

MAX_RESTARTS, WINDOW_S = 5, 60.0
FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 8.0


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """A process to keep running; `stop_s` is what it gets between SIGTERM and SIGKILL."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path = Path("/")
    stop_s: float = 5.0


class RestartBudget:
    """At most so many restarts a minute, each after a longer wait; then no more."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._restarts: deque[float] = deque(maxlen=MAX_RESTARTS)

    def _recent(self) -> int:
        return sum(1 for at in self._restarts if self._clock() - at < WINDOW_S)

    @property
    def is_spent(self) -> bool:
        return self._recent() >= MAX_RESTARTS

    @property
    def delay_s(self) -> float:
        """How long to wait before the next restart."""
        return float(min(FIRST_DELAY_S * 2 ** self._recent(), LONGEST_DELAY_S))

    def use_one(self) -> None:
        self._restarts.append(self._clock())


class KeptAlive:
    """Something that is restarted when it dies, until its budget is spent."""

    def __init__(
        self,
        *,
        name: str,
        has_died: Callable[[], bool],
        restart: Callable[[], None],
        log: Path,
        notify: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.deaths = 0
        self._has_died, self._restart, self._log, self._notify, self._clock = has_died, restart, log, notify, clock
        self._budget = RestartBudget(clock=clock)
        self._due_at: float | None = None
        self._given_up = False

    def check(self) -> None:
        """One look: notice a death, restart when it is time."""
        if self._given_up or not self._has_died():
            return
        if self._due_at is None:
            self._note_death()
        elif self._clock() >= self._due_at:
            self._due_at = None
            self._budget.use_one()
            self._restart()

    def _note_death(self) -> None:
        self.deaths += 1
        end = last_lines(self._log)
        if self._budget.is_spent:
            self._given_up = True
            self._notify(
                f"{self.name} died {MAX_RESTARTS + 1} times within a minute and stays down; the others go on."
                f" Its log: {self._log}\n{end}"
            )
            return
        self._due_at = self._clock() + self._budget.delay_s
        self._notify(f"{self.name} died and is started again. Its log: {self._log}\n{end}")


class Supervisor:
    """The processes of one directory."""

    def __init__(
        self,
        *,
        processes: Sequence[ProcessSpec],
        directory: Path,
        notify: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._specs = {spec.name: spec for spec in processes}
        self._logs = directory / "logs"
        self._marks = MarkBook(directory / "processes.json")
        self._children: dict[str, Child] = {}
        self._kept = {
            name: KeptAlive(
                name=name,
                has_died=partial(self.has_died, name),
                restart=partial(self._launch, name),
                log=self.log_of(name),
                notify=notify,
                clock=clock,
            )
            for name in self._specs
        }

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def pid_of(self, name: str) -> int:
        return self._children[name].pid

    def has_died(self, name: str) -> bool:
        return name in self._children and self._children[name].exit_code() is not None

    def deaths(self, name: str) -> int:
        """How often it died so far."""
        return self._kept[name].deaths

    def start(self) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        for name in self._specs:
            self._launch(name)

    def _launch(self, name: str) -> None:
        spec = self._specs[name]
        if name in self._children:
            self._children[name].kill_group()  # what the dead one left of its own children
        keep_end(self.log_of(name))
        child = spawn(argv=spec.argv, env=spec.env, cwd=spec.cwd, log=self.log_of(name))
        self._children[name] = child
        self._marks.write(name, child.mark)

    def check(self) -> None:
        """One look at every process."""
        for kept in self._kept.values():
            kept.check()

    def stop(self, *, cut_short: Callable[[], bool] = lambda: False) -> None:
        """SIGTERM to all at once, then SIGKILL to what is left of each one's group."""
        for child in self._children.values():
            child.send(signal.SIGTERM)
        began = time.monotonic()
        for name, child in self._children.items():
            left = self._specs[name].stop_s - (time.monotonic() - began)
            child.wait(seconds=max(left, 0), cut_short=cut_short)
        for name, child in self._children.items():
            child.kill_group()
            self._marks.write(name, None)
        self._children.clear()

    def end_leftovers(self) -> list[str]:
        """End what a killed run left behind, each checked to be our own; tells their names."""
        leftovers = {name: (mark, session_members(mark)) for name, mark in self._marks.all().items()}
        living = {name: found for name, found in leftovers.items() if found[1] or mark_of(found[0].pid) == found[0]}
        if living:
            with ThreadPoolExecutor(max_workers=len(living)) as pool:
                list(pool.map(_end_session, living.values()))
        for name in leftovers:
            self._marks.write(name, None)
        return sorted(living)


def _end_session(found: tuple[ProcessMark, list[ProcessMark]]) -> None:
    leader, members = found
    end_marked(leader, steps=((signal.SIGTERM, 5), (signal.SIGKILL, 5)))
    for member in members:
        if mark_of(member.pid) == member:
            send(member.pid, signal.SIGKILL)
    wait_until(lambda: all(mark_of(member.pid) != member for member in members), seconds=5)
