"""The planner: every prefix of a plan makes the fleet more even, and no plan breaks a rule."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forum_backend.domain.fleet import (
    Fleet,
    ForumAt,
    Load,
    Rules,
    ShardAt,
    Stay,
    moving_average,
    unevenness,
)
from forum_backend.domain.plan import Pace, Proposal, hash_of, propose

PACE = Pace()


def fleet_of(*shards: list[float], draining: tuple[int, ...] = (), stays: dict[int, Stay] | None = None) -> Fleet:
    """Shards with forums of so many thousand rows each; forums are numbered from 1 on."""
    forums = [
        ForumAt(number, f"shard_{shard:02d}", Load(rows=1000 * rows), (stays or {}).get(number))
        for number, (shard, rows) in enumerate(
            ((shard, rows) for shard, forums in enumerate(shards) for rows in forums), start=1
        )
    ]
    return whole([ShardAt(f"shard_{shard:02d}", is_draining=shard in draining) for shard in range(len(shards))], forums)


def whole(shards: list[ShardAt], forums: list[ForumAt]) -> Fleet:
    """A fleet whose shards carry what their forums add up to, and what they carried before."""
    loads = {shard.name: shard.load for shard in shards}
    for at in forums:
        loads[at.shard] = loads[at.shard].plus(at.load)
    return Fleet(tuple(replace(shard, load=loads[shard.name]) for shard in shards), tuple(forums))


def steps(proposal: Proposal) -> list[tuple[int, str, str]]:
    return [(move.forum, move.source, move.target) for move in proposal.moves]


loads = st.builds(
    Load,
    rows=st.integers(0, 10_000_000).map(float),
    bytes=st.integers(0, 10_000_000_000).map(float),
    writes_s=st.floats(0, 500),
    reads_s=st.floats(0, 5_000),
)
GENEROUS = Rules(threshold=0.0, moves_in_all=50, moves_per_shard=50)
rules = st.builds(
    Rules,
    threshold=st.sampled_from([0.0, 0.05, 0.2, 1.0]),
    moves_in_all=st.integers(0, 12),
    moves_per_shard=st.integers(0, 8),
    drains_only=st.booleans(),
    avoided=st.sampled_from([(), (), ("shard_00",), ("shard_01", "shard_02")]),
)


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    names = [f"shard_{number:02d}" for number in range(draw(st.integers(2, 5)))]
    shards = [
        ShardAt(
            name,
            load=draw(st.one_of(st.just(Load()), loads)),
            is_draining=draw(st.sampled_from([*[False] * 5, True])),
            answers=draw(st.sampled_from([*[True] * 7, False])),
            moves=draw(st.integers(0, 2)),
        )
        for name in names
    ]
    forums = [
        ForumAt(number, draw(st.sampled_from(names)), draw(loads), draw(st.sampled_from([*[None] * 8, *Stay])))
        for number in range(1, draw(st.sampled_from([0, 1, 2, 4, 8, 15])) + 1)
    ]
    return replace(whole(shards, forums), moves=draw(st.integers(0, 3)))


@given(fleets(), st.one_of(st.just(GENEROUS), rules))
def test_each_prefix_makes_the_fleet_more_even(fleet: Fleet, rules: Rules) -> None:
    proposal = propose(fleet, rules=rules, pace=PACE)
    for move in proposal.moves:
        after = fleet.with_forum_on(move.forum, move.target)
        assert unevenness(after).is_less_than(unevenness(fleet)), move
        assert unevenness(after).spread == pytest.approx(move.spread_after, abs=1e-9)
        fleet = after


@given(fleets(), rules)
def test_no_plan_breaks_a_rule(fleet: Fleet, rules: Rules) -> None:
    proposal = propose(fleet, rules=rules, pace=PACE)
    shards = {shard.name: shard for shard in fleet.shards}
    forums = {at.forum: at for at in fleet.forums}
    assert len({move.forum for move in proposal.moves}) == len(proposal.moves)
    assert len(proposal.moves) <= max(0, rules.moves_in_all - fleet.moves)
    touched = Counter(name for move in proposal.moves for name in (move.source, move.target))
    assert all(number + shards[name].moves <= rules.moves_per_shard for name, number in touched.items())
    for move in proposal.moves:
        source, at = shards[move.source], forums[move.forum]
        assert at.shard == move.source != move.target
        assert source.answers
        assert shards[move.target].takes_forums
        assert move.target not in rules.avoided
        assert at.stays is None or (source.is_draining and at.stays is Stay.COOLING)
        assert source.is_draining or not rules.drains_only
        assert move.reason
        assert move.duration_s > 0
        assert move.window_ms > 0


@given(fleets(), rules, st.randoms())
def test_the_same_fleet_in_any_order_gives_the_same_plan(fleet: Fleet, rules: Rules, random: st.DataObject) -> None:
    shards, forums = list(fleet.shards), list(fleet.forums)
    random.shuffle(shards)  # type: ignore[attr-defined]
    random.shuffle(forums)  # type: ignore[attr-defined]
    shuffled = replace(fleet, shards=tuple(shards), forums=tuple(forums))
    assert steps(propose(shuffled, rules=rules, pace=PACE)) == steps(propose(fleet, rules=rules, pace=PACE))


@given(fleets(), rules)
def test_every_forum_of_a_drained_shard_leaves_or_is_accounted_for(fleet: Fleet, rules: Rules) -> None:
    proposal = propose(fleet, rules=rules, pace=PACE)
    draining = {shard.name for shard in fleet.shards if shard.is_draining}
    leaving = {at.forum for at in fleet.forums if at.shard in draining}
    moved = {move.forum for move in proposal.moves if move.source in draining}
    held = {held.forum for held in proposal.held}
    assert moved | held == leaving
    assert not moved & held


def test_the_fullest_shard_gives_what_evens_most() -> None:
    proposal = propose(fleet_of([50, 30, 20], [10], []), rules=Rules(), pace=PACE)
    assert steps(proposal)[0] == (1, "shard_00", "shard_02")
    assert "2.73 times the average of rows" in proposal.moves[0].reason
    assert proposal.excess_after < proposal.excess_before


def test_below_the_threshold_nothing_moves() -> None:
    fleet = fleet_of([5, 5, 5, 5, 1], [5, 5, 5, 5])
    assert steps(propose(fleet, rules=Rules(threshold=0.05), pace=PACE)) == []
    assert steps(propose(fleet_of([5, 5, 5, 5, 1, 1], [5, 5, 5, 5]), rules=Rules(threshold=0.04), pace=PACE)) == [
        (5, "shard_00", "shard_01")
    ]


def test_a_drained_shard_is_emptied_although_the_fleet_is_even() -> None:
    fleet = fleet_of([5, 5], [5, 5], [5, 5], draining=(1,), stays={3: Stay.COOLING, 4: Stay.PINNED})
    proposal = propose(fleet, rules=Rules(threshold=10), pace=PACE)
    assert steps(proposal) == [(3, "shard_01", "shard_00")]
    assert [(held.forum, held.reason) for held in proposal.held] == [(4, "it is pinned")]


def test_a_shard_that_refused_is_given_nothing_and_what_stays_for_that_is_said() -> None:
    fleet = fleet_of([5, 5], [5, 5], [], draining=(0,))
    proposal = propose(fleet, rules=Rules(drains_only=True, avoided=("shard_02",)), pace=PACE)
    assert steps(proposal) == [(1, "shard_00", "shard_01"), (2, "shard_00", "shard_01")]
    proposal = propose(fleet, rules=Rules(drains_only=True, avoided=("shard_01", "shard_02")), pace=PACE)
    assert steps(proposal) == []
    assert {held.reason for held in proposal.held} == {"the shards that could take it refused a moment ago"}


def test_forums_without_load_are_spread_too() -> None:
    fleet = fleet_of([0, 0, 0, 0], [], [], draining=(0,))
    assert Counter(move.target for move in propose(fleet, rules=Rules(), pace=PACE).moves) == {
        "shard_01": 2,
        "shard_02": 2,
    }


def test_an_idle_fleet_is_left_alone() -> None:
    assert propose(fleet_of([0.02, 0.02], []), rules=Rules(), pace=PACE).moves == ()


def test_a_busy_forum_leaves_a_shard_that_is_no_fuller_than_others() -> None:
    forums = [
        ForumAt(1, "shard_00", Load(rows=10_000, writes_s=90)),
        ForumAt(2, "shard_00", Load(rows=10_000, writes_s=90)),
        ForumAt(3, "shard_01", Load(rows=10_000)),
        ForumAt(4, "shard_01", Load(rows=10_000)),
    ]
    proposal = propose(whole([ShardAt("shard_00"), ShardAt("shard_01")], forums), rules=Rules(), pace=PACE)
    first = proposal.moves[0]
    assert first.source == "shard_00"
    assert "of writes" in first.reason
    assert first.window_ms > PACE.window_ms


def test_the_hash_names_input_and_output() -> None:
    fleet = fleet_of([50, 30], [])
    plan = propose(fleet, rules=Rules(), pace=PACE)
    name = hash_of(fleet, Rules(), PACE, plan)
    assert hash_of(fleet, Rules(), PACE, plan) == name
    assert hash_of(fleet, Rules(threshold=0.21), PACE, plan) != name
    assert hash_of(fleet, Rules(), PACE, replace(plan, moves=())) != name
    pinned = replace(fleet, forums=(replace(fleet.forums[0], stays=Stay.PINNED), *fleet.forums[1:]))
    assert hash_of(pinned, Rules(), PACE, plan) != name


def test_a_moving_average_forgets() -> None:
    assert moving_average(0, rate=10, elapsed_s=0, memory_s=60) == 0
    assert moving_average(0, rate=10, elapsed_s=60, memory_s=60) == pytest.approx(6.32, abs=0.01)
    assert moving_average(10, rate=0, elapsed_s=6000, memory_s=60) == pytest.approx(0)
