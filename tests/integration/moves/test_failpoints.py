"""Each edge of the protocol has its failpoints, each failpoint each kind of failure, and none costs a row."""

import os
import signal
import subprocess
import sys
import time

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured

from forum_backend.domain.moves import TRANSITIONS, MoveState
from forum_backend.services import failpoints
from forum_backend.services.failpoints import MOVE_POINTS, SETTLE_POINTS, AnswerLost
from forum_backend.services.move_recovery import recover_move
from tests.integration.moves.driving import (
    Crash,
    Populated,
    at,
    bodies,
    content,
    crash_at,
    drive_to_end,
    expire_lease,
    owners,
    populated,
)
from workers.rebalance.begin import ROLLBACK
from workers.rebalance.runner import STEPS, drive

BACK_IN_SERVICE_S = 1.0
UNDONE = {MoveState.PLANNED, MoveState.ABORTED}
# A fence that was taken down leads here; the settling of it has points of its own.
TAKEN_DOWN = (MoveState.FENCED, MoveState.CATCHING_UP)


def test_every_edge_has_points_before_and_after_it_is_done_and_recorded() -> None:
    steps = {(step.begins, step.ends): step for step in (*STEPS.values(), ROLLBACK)}
    for state, following in TRANSITIONS.items():
        for next_state in following - UNDONE:
            if (state, next_state) == TAKEN_DOWN:
                continue
            name = steps[state, next_state].name
            assert {f"{name}.before", f"{name}.done", f"{name}.after"} <= set(MOVE_POINTS)
    assert "activate.commit" in MOVE_POINTS, "the commit point"


def after_a_crash(place: Populated, *, wrote: str) -> None:
    """The forum takes a post within a second, though no mover runs, and nothing is lost."""
    began = time.monotonic()
    place.write(wrote)
    assert time.monotonic() - began < BACK_IN_SERVICE_S
    assert len(owners(place.forum)) == 1
    assert bodies(place.forum)[-1] == wrote
    assert content(place.forum)["post"].rows == 9


@pytest.mark.parametrize("point", MOVE_POINTS)
def test_an_answer_lost_anywhere_is_settled_by_the_mover_itself(point: str) -> None:
    place = populated()
    move = place.plan()

    def cut() -> None:
        raise AnswerLost(point)

    drive(move_id=move.pk, token=move.token, observe=at(point, cut))
    after_a_crash(place, wrote="after the cut")
    written = content(place.forum)
    move.refresh_from_db()
    if MOVE_POINTS.index("activate.commit") <= MOVE_POINTS.index(point):
        assert owners(place.forum) == [place.target], "what was committed stays, though nobody was told"
    assert drive_to_end(move).state == MoveState.CLEANED
    assert content(place.forum) == written


@pytest.mark.parametrize("point", MOVE_POINTS[: MOVE_POINTS.index("reverse.done")])
def test_a_failure_anywhere_costs_an_attempt_at_most(point: str) -> None:
    place = populated()
    move = place.plan()

    def fail() -> None:
        raise psycopg.OperationalError(point)

    drive(move_id=move.pk, token=move.token, observe=at(point, fail))
    after_a_crash(place, wrote="after the failure")
    assert drive_to_end(move).state == MoveState.CLEANED


@pytest.mark.parametrize("point", SETTLE_POINTS)
def test_who_settles_a_move_may_crash_anywhere_too(point: str) -> None:
    is_forward = SETTLE_POINTS.index(point) >= SETTLE_POINTS.index("settle.arrived")
    place = populated()
    move = place.plan()
    with pytest.raises(Crash):
        drive(move_id=move.pk, token=move.token, observe=crash_at("activate.done" if is_forward else "fence.done"))

    def crash() -> None:
        raise Crash

    with failpoints.armed({point: crash}), pytest.raises(Crash):
        recover_move(move.pk)
    after_a_crash(place, wrote="after both crashes")
    written = content(place.forum)
    recover_move(move.pk)
    assert drive_to_end(move).state == MoveState.CLEANED
    assert content(place.forum) == written


@pytest.mark.parametrize("point", ["fence.done", "activate.copied", "activate.commit"])
def test_a_mover_that_hangs_under_its_fence_is_overruled(point: str) -> None:
    """Its connections are closed by its servers, or its lease ends: either way the forum opens without it."""
    place = populated()
    move = place.plan()
    taken: list[str] = []

    def hang() -> None:
        # What a second process does meanwhile: the writer cannot pass the gate, the beat's mover takes over.
        drive(move_id=move.pk, token=expire_lease(move))
        taken.append(point)

    drive(move_id=move.pk, token=move.token, observe=at(point, hang))
    assert taken == [point]
    after_a_crash(place, wrote="after the hanging one")
    assert drive_to_end(move).state == MoveState.CLEANED


CRASH_PROGRAM = """
import django; django.setup()
from forum_backend.services import failpoints
failpoints.reach("fence.done"); print("passed", flush=True); failpoints.reach("copy.done")
"""


def run(program: str, spec: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FAILPOINTS": spec}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_environment_arms_them() -> None:
    done = run(CRASH_PROGRAM, "copy.done=crash fence.done=delay:0.01")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "passed\n")


@pytest.mark.parametrize(
    "spec", ["fence.dnoe=crash", "fence.done=explode", "fence.done=hang:soon", "fence.done=hang:9999"]
)
def test_a_misspelt_one_is_refused_with_what_was_expected(spec: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="FAILPOINTS"):
        failpoints.parse(spec)


def test_off_they_do_nothing() -> None:
    for point in MOVE_POINTS + SETTLE_POINTS:
        failpoints.reach(point)
