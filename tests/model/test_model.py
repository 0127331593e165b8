"""The protocol breaks nothing, whatever happens when; with any of its rules taken away it breaks something."""

import pytest

from forum_backend.domain.moves import TRANSITIONS
from tests.model.explore import BACK, LOST, TWO_OWNERS, explore
from tests.model.mover import UNEQUAL
from tests.model.mutants import CLEAN, MUTANTS, ROLLED_BACK, counterexample, explored, told
from tests.model.path import EDGES, first_stray, is_path
from tests.model.shards import OLD_TOKEN
from tests.model.writers import UNDER_LOCK

EXPECTED = {
    "no guard": UNDER_LOCK,
    "no lock at the fence": UNDER_LOCK,
    "no lock when arming": UNEQUAL,
    "`id >` instead of exactly those ids": UNEQUAL,
    "source reopened before the target is aborted": TWO_OWNERS,
    "no token": OLD_TOKEN,
    "no last delta": UNEQUAL,
    "a take-over that tells no shard its token": UNEQUAL,
    "an attempt goes on although its log was given up": UNEQUAL,
    "an undone rollback gives the log up": UNEQUAL,
    "cleaning while a rollback may be asked for": UNEQUAL,
    "a promoted standby is believed": TWO_OWNERS,
}


@pytest.mark.parametrize("name", CLEAN)
def test_the_protocol_breaks_nothing(name: str) -> None:
    found = explored(CLEAN[name])
    print(told(name, found))
    assert found.violations == {}
    assert found.states > 10_000


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_breaks_something(name: str) -> None:
    found = counterexample(name)
    print(told(name, found))
    assert set(found.violations) == {EXPECTED[name]}


@pytest.mark.parametrize(
    ("name", "passes_over"),
    [("no token", {OLD_TOKEN}), ("no guard", {UNDER_LOCK, UNEQUAL}), ("no last delta", {UNEQUAL})],
)
def test_what_a_mutant_breaks_in_the_end_is_data(name: str, passes_over: set[str]) -> None:
    """Left to run on past the rule that it breaks first, it has two owners, loses writes, brings rows back."""
    rules, bounds = MUTANTS[name]
    found = explore(rules, bounds, stop_any=True, passes_over=frozenset(passes_over))
    print(told(name, found))
    assert found.violations.keys() & {LOST, BACK, UNEQUAL, TWO_OWNERS}


def test_a_trace_is_held_against_all_that_the_model_does() -> None:
    assert explored(ROLLED_BACK).edges == EDGES


def test_the_code_has_the_transitions_of_the_model() -> None:
    in_the_model = {(before, after) for _, before, after in EDGES}
    assert in_the_model == {(before.value, after.value) for before in TRANSITIONS for after in TRANSITIONS[before]}


def test_a_trace_is_a_path_of_the_model_or_not() -> None:
    straight = "planned prepared armed copying catching_up verified ready fenced activated departed reversible cleaned"
    states = straight.split()
    assert is_path(states)
    assert is_path([*states[:8], "catching_up", "verified", "ready", "fenced", "activated"])
    assert is_path(["planned", "prepared", "armed", "catching_up", "verified"], is_rollback=True)
    undone = ["planned", "prepared", "armed", *states[4:8], "catching_up", "verified"]
    assert is_path(undone, is_rollback=True), "what a rollback has is kept after a fence, as any move's"
    assert first_stray(["planned", "prepared", "armed", "catching_up"]) == "armed to catching_up"
    assert not is_path(states, is_rollback=True)
    assert first_stray([*states[:8], "departed"]) == "fenced to departed"
    assert not is_path(["armed", "copying"])
    assert not is_path([])
