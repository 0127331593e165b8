"""Movers that die: Django is loaded once, each mover is a fork of this process, and what it does follows from a seed.

`python -m tests.history.crash_driver SEED FORUM,FORUM`: reads the numbers of runs from standard input, one a line, and
answers each with a line of JSON, once the mover is dead or done; `finish` lets all moves come to their ends. Its first
line, unasked, names all points.
"""

import importlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

MOVER_LIMIT_S, FINISH_LIMIT_S = 60, 300
AT_A_MOMENT, LATEST_MOMENT_S = 0.15, 0.25
A_MOMENT = "a random moment"
ROLLS_BACK, CLEANS = 0.35, 0.3
MAX_DRIVES = 16
# All that movers use, so that it is not each fork that reads it. None of it opens a connection.
LOADED_ONCE = (
    "forum_backend.services.move_control", "workers.rebalance.leftovers", "workers.rebalance.runner",
)  # fmt: skip
# Where a mover that fails undoes its attempt itself, and where it finds that its move has happened after all.
FORWARD = ("settle.arrived", "settle.departed", "settle.told")


@dataclass(frozen=True, slots=True)
class Death:
    """How a mover is to die: at a point (with these failpoints), or after so many seconds."""

    point: str
    failpoints: str = ""
    after_s: float = 0.0


def main() -> None:
    import django

    django.setup()
    for name in LOADED_ONCE:
        importlib.import_module(name)
    from forum_backend.services.failpoints import MOVE_POINTS, SETTLE_POINTS

    print(json.dumps({"points": [*MOVE_POINTS, *SETTLE_POINTS, A_MOMENT]}), flush=True)
    seed, forums = sys.argv[1], [int(word) for word in sys.argv[2].split(",")]
    for line in sys.stdin:
        word = line.strip()
        if word == "finish":
            told = forked(partial(finish, forums), limit_s=FINISH_LIMIT_S)
        else:
            choice = random.Random(f"{seed}/crash/{word}")
            told = forked(partial(move_on, forums, choice), limit_s=MOVER_LIMIT_S)
        print(json.dumps(told), flush=True)


def forked(run: Callable[[Callable[..., None]], None], *, limit_s: int) -> dict[str, Any]:
    """Run in a fork of this process, which has no connections, and tell how it ended with what it said before."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(limit_s)  # the kernel ends one that hangs
        os.close(reading)
        os._exit(_child(run, writing))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told: dict[str, Any] = json.loads(pipe.readline() or "{}")
    if told.get("after_s"):
        time.sleep(told["after_s"])  # no wait for anything: this moment is when it dies
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    died_of = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    failed = os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0
    return {**told, "died_of": died_of, "failed": failed, "at": time.monotonic()}


def _child(run: Callable[[Callable[..., None]], None], writing: int) -> int:
    def tell(**what: Any) -> None:
        os.write(writing, json.dumps(what).encode() + b"\n")
        os.close(writing)

    try:
        run(tell)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def move_on(forums: list[int], choice: random.Random, tell: Callable[..., None]) -> None:
    """One mover: some forum's move goes on or begins, up to the mover's death, if it comes to that."""
    from forum_backend.data.control.moves.models import Move
    from forum_backend.services import failpoints
    from workers.rebalance.runner import drive

    move = move_of(choice.choice(forums), choice)
    Move.objects.filter(pk=move.pk).update(leased_until=None)  # the mover before is dead, and its time up
    death = death_of(move, choice)
    token = Move.objects.values_list("token", flat=True).get(pk=move.pk)
    is_rollback = move.rolls_back_id is not None
    with failpoints.armed(failpoints.parse(death.failpoints)):
        tell(forum=move.forum_id, move=move.pk, state=move.state, is_rollback=is_rollback, **asdict(death))
        drive(move_id=move.pk, token=token)


def move_of(forum: int, choice: random.Random) -> Any:
    """The forum's running move; else one is taken back, or an old one cleaned up, or a new one begun."""
    from django.utils import timezone

    from forum_backend.data.control.moves.models import Move
    from forum_backend.domain.moves import EXCLUSIVE, SETTLED, MoveState
    from forum_backend.services.move_control import rollback_move
    from forum_backend.services.moves import request_move

    running = Move.objects.filter(forum_id=forum, state__in=sorted(EXCLUSIVE)).first()
    if running is not None:
        return running
    settled = Move.objects.filter(forum_id=forum, state__in=sorted(SETTLED))
    wish, newest, oldest = choice.random(), settled.order_by("-pk").first(), settled.order_by("pk").first()
    last = Move.objects.filter(forum_id=forum).exclude(state=MoveState.ABORTED).order_by("-pk").first()
    if wish < ROLLS_BACK and newest is not None and newest.state == MoveState.REVERSIBLE and newest == last:
        if newest.reversible_until is not None:
            return rollback_move(move_id=newest.pk, requested_by=None, now=timezone.now())
    elif wish < ROLLS_BACK + CLEANS and oldest is not None:
        if choice.random() < 0.5 and oldest.state == MoveState.REVERSIBLE:
            oldest.reversible_until = None
            oldest.save(update_fields=["reversible_until"])
        return oldest
    return request_move(forum_id=forum, target=another_shard(forum, choice), requested_by=None, now=timezone.now())


def another_shard(forum: int, choice: random.Random) -> str:
    from forum_backend.queries.forum_read import forum_read
    from routers.registry import registry

    here = forum_read(forum, lambda alias: alias)
    return choice.choice([alias for alias in registry.aliases() if alias != here])


def death_of(move: Any, choice: random.Random) -> Death:
    """One of the points that are ahead of the move, or a moment."""
    from forum_backend.domain.moves import EXCLUSIVE, MoveState
    from forum_backend.services.failpoints import MOVE_POINTS, SETTLE_POINTS
    from forum_backend.services.move_recovery import UNSETTLED
    from workers.rebalance.runner import step_of

    if choice.random() < AT_A_MOMENT:
        return Death(A_MOMENT, after_s=choice.uniform(0.001, LATEST_MOMENT_S))
    if move.state in UNSETTLED:
        point = choice.choice(SETTLE_POINTS)
        return Death(point, f"{point}=crash")
    first = f"{step_of(move, MoveState(move.state)).name}.before"
    points = list(MOVE_POINTS[MOVE_POINTS.index(first) :])
    points += SETTLE_POINTS if move.state in EXCLUSIVE else ()
    point = choice.choice(points)
    fails = "" if point not in SETTLE_POINTS else f"activate.{'done' if point in FORWARD else 'copied'}=fail "
    return Death(point, f"{fails}{point}=crash")


def finish(forums: list[int], tell: Callable[..., None]) -> None:
    """Drive all moves to their ends, as movers do that nobody kills."""
    from forum_backend.data.control.moves.models import Move
    from forum_backend.domain.moves import RUNNING, MoveState
    from workers.rebalance.leftovers import purge_leftovers
    from workers.rebalance.runner import drive

    running = Move.objects.filter(forum_id__in=forums, state__in=sorted(RUNNING))
    for _ in range(MAX_DRIVES):
        for move in running.order_by("pk"):
            running.filter(pk=move.pk, state=MoveState.REVERSIBLE).update(reversible_until=None)
            running.filter(pk=move.pk).update(leased_until=None)
            drive(move_id=move.pk, token=Move.objects.values_list("token", flat=True).get(pk=move.pk))
    for move in Move.objects.filter(forum_id__in=forums, has_leftovers=True):
        purge_leftovers(move_id=move.pk)
    tell(running=running.count())


if __name__ == "__main__":
    main()
