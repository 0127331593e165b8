"""`python -m tests.history --crashes N --seed S`: movers die at random, a thousand times, and the forums do not mind.

People write over HTTP; no Celery worker runs, so a forum whose mover died is opened again by those who write. Movers
are processes (``crash_driver``), killed for real, each at a point or a moment that follows from the seed.
"""

import json
import select
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from forum_backend.commands.display import Display
from forum_backend.commands.service import ROOT
from forum_backend.embedded import last_lines
from tests.benchmarks.figures import at_share
from tests.history import gathering
from tests.history.checking import HistoryCheck
from tests.history.moving import Moving
from tests.history.probe import Probe
from tests.history.verdict import Problem, Verdict
from tests.journeys.people import Person, client_of, ungentle
from tests.running import Service

ROLES = ("web", "relay")
SETTINGS = {"SIGN_IN_ATTEMPTS_PER_MINUTE": "10000"}
WRITERS, FORUMS = 4, 4
BACK_WITHIN_S = 1.0
MOST_RUNS_PER_CRASH, SOME_RUNS = 4, 50
ANSWER_LIMIT_S, FINISH_LIMIT_S, END_LIMIT_S = 90.0, 330.0, 10.0
STEPS_TOLD = 50

_MOVES = "SELECT id, state, error, window_ms FROM move WHERE forum_id = ANY(%s) ORDER BY id"


@dataclass
class Crashes:
    """What happened: crashes by point, how long each forum was out of service after one, and the verdict."""

    seed: int
    verdict: Verdict
    strays: list[str]
    points: tuple[str, ...]
    by_point: Counter[str] = field(default_factory=Counter)
    back_s: list[float] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    runs: int = 0
    moves: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        return self.verdict.is_good and not self.strays

    @property
    def missed(self) -> list[str]:
        """Points at which nothing died."""
        return [point for point in self.points if not self.by_point[point]]

    @property
    def back(self) -> dict[str, float]:
        p50, p99 = statistics.median(self.back_s), at_share(self.back_s, 0.99)
        return {"p50_ms": p50 * 1000, "p99_ms": p99 * 1000, "max_ms": max(self.back_s) * 1000}

    def shape(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "is_good": self.is_good,
            "crashes": self.by_point.total(),
            "by_point": {point: self.by_point[point] for point in self.points},
            "back_in_service": self.back,
            "later_than_1_s": self.late,
            "figures": self.verdict.figures,
            "moves": dict(self.moves),
            "strays": self.strays,
            "problems": [{"kind": each.kind, "text": each.text} for each in self.verdict.problems],
        }

    def __str__(self) -> str:
        back, late = self.back, "".join(f"; {each}" for each in self.late)
        counted = "\n".join(f"{self.by_point[point]:6}  {point}" for point in self.points if self.by_point[point])
        moves = ", ".join(f"{number} {state}" for state, number in sorted(self.moves.items()))
        return (
            f"{counted}\npoints without a crash: {', '.join(self.missed) or 'none'}\n"
            f"{self.by_point.total()} crashes of {self.runs} movers in {self.seconds:.0f} s; "
            f"moves: {moves}\nback in service p50 {back['p50_ms']:.0f}, p99 {back['p99_ms']:.0f}, "
            f"max {back['max_ms']:.0f} ms; {len(self.late)} later than {BACK_WITHIN_S:g} s{late}\n"
            f"{len(self.strays)} steps that the model does not know{''.join(f'; {each}' for each in self.strays)}\n"
            f"{self.verdict}\nSeed {self.seed}"
        )


class Driver:
    """The process whose forks are the movers."""

    def __init__(self, service: Service, *, seed: int, forums: list[int]) -> None:
        self._log = service.log("movers")
        words = ["-m", "tests.history.crash_driver", str(seed), ",".join(map(str, forums))]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *words],
                env=service.environment,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.points: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        self.points = tuple(self._answer(seconds=ANSWER_LIMIT_S)["points"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate(timeout=END_LIMIT_S)  # the end of its input is the end of it

    def ask(self, word: str, *, seconds: float = ANSWER_LIMIT_S) -> dict[str, Any]:
        """What became of a mover; an error of its own, or one that hangs, is an error here."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        self._process.stdin.flush()
        told = self._answer(seconds=seconds)
        if told["failed"] or told["died_of"] not in (0, signal.SIGKILL):
            raise RuntimeError(f"mover {word} failed: {told}\n{last_lines(self._log)}")
        return told

    def _answer(self, *, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            raise RuntimeError(f"the movers' driver says nothing:\n{last_lines(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def crash(service: Service, *, seed: int, crashes: int, display: Display, staff: Person | None = None) -> Crashes:
    """Kill so many movers on a service without a worker, let the moves come to their ends, and judge."""
    began = time.monotonic()
    with (
        HistoryCheck(service, seed=seed, writers=WRITERS, forums=FORUMS, with_moves=False, staff=staff) as check,
        client_of(service, check.staff) as client,
        ungentle(client),
        Driver(service, seed=seed, forums=check.forums) as driver,
        Probe(check) as probe,
    ):
        found = Crashes(seed, Verdict([]), [], driver.points)
        _kill(found, driver, probe, crashes=crashes, display=display)
        display.step("the moves come to their ends", 1.0)
        driver.ask("finish", seconds=FINISH_LIMIT_S)
        _note_moves(check, found)
        found.verdict, found.strays = check.verdict(), check.strays()
        found.verdict.problems += _unfinished(found)
    found.seconds = time.monotonic() - began
    return found


def _kill(found: Crashes, driver: Driver, probe: Probe, *, crashes: int, display: Display) -> None:
    """Mover after mover, until so many have died; after each death the forum has to take a post."""
    told = 0
    while found.by_point.total() < crashes:
        if found.runs >= crashes * MOST_RUNS_PER_CRASH + SOME_RUNS:
            raise RuntimeError(f"only {found.by_point.total()} of {found.runs} movers died")
        found.runs += 1
        mover = driver.ask(str(found.runs))
        if mover["died_of"]:
            refusals = probe.refusals
            back_s = probe.post(mover["forum"]) - mover["at"]
            found.back_s.append(back_s)
            found.by_point[mover["point"]] += 1
            if back_s > BACK_WITHIN_S:
                told_to_wait = f"told to come again {probe.refusals - refusals} times"
                found.late.append(f"{mover['point']}: {back_s:.2f} s, {told_to_wait}")
            done = found.by_point.total()
            if done * STEPS_TOLD // crashes > told:
                told = done * STEPS_TOLD // crashes
                display.step(f"{done} crashes, back in service within {max(found.back_s):.2f} s", done / crashes)


def _note_moves(check: HistoryCheck, found: Crashes) -> None:
    """All moves of the run, for the verdict and for the model."""
    rows = gathering.query(check.service.environment["DATABASE_URL"], _MOVES, check.forums)
    check.moving = Moving(client=check._client(""), forums=[], shards=[], seed=found.seed)
    names = ("id", "state", "error", "window_ms")
    check.moving.moves = [dict(zip(names, row, strict=True)) for row in rows]
    found.moves = Counter(str(move["state"]) for move in check.moving.moves)


def _unfinished(found: Crashes) -> list[Problem]:
    return [
        Problem("move", f"{number} moves are still {state} after all")
        for state, number in found.moves.items()
        if state not in ("cleaned", "aborted")
    ]
