"""Failpoints: named places on a move's way where a failure can be arranged, to see that nothing is lost by it.

Off unless the process was started with ``FAILPOINTS`` in its environment (``fence.done=crash copy.after=delay:0.2``);
no request reaches them. Off, a point costs a call and a look into an empty dict.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

logger = logging.getLogger(__name__)

# Every point that a move passes, in order. A step: before it, (its state recorded), within it, done, recorded.
MOVE_POINTS = (
    "prepare.before", "prepare.incoming", "prepare.done", "prepare.after",
    "arm.before", "arm.done", "arm.after",
    "begin.before", "begin.done", "begin.after",
    "copy.before", "copy.done", "copy.after",
    "catch_up.before", "catch_up.done", "catch_up.after",
    "ready.before", "ready.done", "ready.after",
    "fence.before", "fence.recorded", "fence.gate_closed", "fence.done", "fence.after",
    "activate.before", "activate.copied", "activate.before_commit", "activate.commit", "activate.done",
    "activate.after",
    "depart.before", "depart.gate_opened", "depart.done", "depart.after",
    "keep.before", "keep.done", "keep.after",
    "reverse.before", "reverse.done", "reverse.after",
)  # fmt: skip
# The ways on which a move is undone, or brought to its end by another than its mover.
SETTLE_POINTS = (
    "settle.before", "settle.ruled_out", "settle.reopened", "settle.after",
    "settle.arrived", "settle.departed", "settle.told",
)  # fmt: skip
POINTS = frozenset(MOVE_POINTS + SETTLE_POINTS)
LONGEST_S = 60.0


class Action(StrEnum):
    """What happens at a point; ``hang`` and ``delay`` take seconds."""

    CRASH = "crash"  # the process dies at once, as by kill -9
    HANG = "hang"
    DELAY = "delay"
    FAIL = "fail"
    CUT = "cut"  # what was sent takes effect, its answer is lost with the connection


class AnswerLost(psycopg.OperationalError):
    """The connection broke after something was sent, and before its answer came."""


type Happening = Callable[[], None]
DEFAULT_S = {Action.HANG: 30.0, Action.DELAY: 0.1}


def _happening(point: str, action: Action, seconds: float) -> Happening:
    def happen() -> None:
        logger.warning("A failpoint was reached", extra={"action": action, "point": point})
        match action:
            case Action.CRASH:
                os.kill(os.getpid(), signal.SIGKILL)
            case Action.HANG | Action.DELAY:
                time.sleep(seconds)
            case Action.FAIL:
                raise psycopg.OperationalError(f"failpoint {point}")
            case Action.CUT:
                raise AnswerLost(f"failpoint {point}")

    return happen


def parse(text: str) -> dict[str, Happening]:
    """``POINT=ACTION[:SECONDS]`` as often as wanted, apart by spaces; ``ImproperlyConfigured`` for anything else."""
    found: dict[str, Happening] = {}
    for word in text.split():
        point, _, what = word.partition("=")
        name, _, seconds = what.partition(":")
        if point not in POINTS or name not in set(Action):
            raise ImproperlyConfigured(
                f"FAILPOINTS: {word!r} is no POINT=ACTION[:SECONDS] with one of {', '.join(sorted(POINTS))} "
                f"and one of {', '.join(Action)}"
            )
        action = Action(name)
        try:
            lasts = float(seconds) if seconds else DEFAULT_S.get(action, 0.0)
        except ValueError as error:
            raise ImproperlyConfigured(f"FAILPOINTS: {word!r}: {seconds!r} is no number of seconds") from error
        if not 0 <= lasts <= LONGEST_S:
            raise ImproperlyConfigured(f"FAILPOINTS: {word!r}: between 0 and {LONGEST_S:.0f} seconds")
        found[point] = _happening(point, action, lasts)
    return found


_armed: dict[str, Happening] = parse(settings.FAILPOINTS)


def reach(point: str) -> None:
    """A point is passed."""
    if _armed and point in _armed:
        _armed[point]()


@contextmanager
def armed(happenings: Mapping[str, Happening]) -> Iterator[None]:
    """For tests in one process: these happen inside the block."""
    unknown = happenings.keys() - POINTS
    if unknown:
        raise ImproperlyConfigured(f"no such failpoints: {', '.join(sorted(unknown))}")
    before = dict(_armed)
    _armed.update(happenings)
    try:
        yield
    finally:
        _armed.clear()
        _armed.update(before)
