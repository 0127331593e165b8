"""How long a copy works and rests, by what writes take: sentences about numbers, no clock and no database."""

from forum_backend.domain.limits import CopyLimits
from workers.rebalance.pressure import (
    LEAST_REST,
    LONGEST_STRETCH_S,
    MOST_REST,
    SHORTEST_STRETCH_S,
    Pressure,
)

LIMITS = CopyLimits(slow_factor=1.5, slow_ms=2.0)


def learnt(pressure: Pressure, *, calm: float, busy: float, times: int = 1, limits: CopyLimits = LIMITS) -> Pressure:
    """After so many rounds of these latencies on one shard; the other one is never slow."""
    for _ in range(times):
        for _ in range(4):
            for shard, busy_ms in (("shard_00", 1.0), ("shard_01", busy)):
                pressure.note(shard, calm if shard == "shard_01" else 1.0, is_calm=True)
                pressure.note(shard, busy_ms, is_calm=False)
        pressure.adapt(limits)
    return pressure


def test_while_nobody_suffers_it_works_longer_and_rests_less() -> None:
    pressure = learnt(Pressure(), calm=2, busy=2.5, times=40)
    assert (pressure.level, pressure.reason) == (0, "")
    assert (pressure.stretch_s, pressure.rest) == (LONGEST_STRETCH_S, LEAST_REST)


def test_while_writes_are_slow_it_works_for_moments_and_says_why() -> None:
    pressure = learnt(Pressure(), calm=2, busy=9, times=4)
    assert pressure.level == 1
    assert round(pressure.stretch_s, 6) == SHORTEST_STRETCH_S
    assert pressure.rest == MOST_REST
    assert pressure.reason == "writes on shard_01 take 9.0 ms, 2.0 while the copy pauses"


def test_slow_is_what_is_slower_than_without_the_copy_by_factor_and_by_milliseconds() -> None:
    for calm, busy, is_slow in ((1, 2.9, False), (1, 3.1, True), (20, 29, False), (20, 31, True)):
        assert bool(learnt(Pressure(), calm=calm, busy=busy).reason) is is_slow, (calm, busy)
    patient = CopyLimits(slow_factor=10, slow_ms=2)
    assert not learnt(Pressure(), calm=2, busy=9, limits=patient).reason


def test_it_gives_way_fast_and_comes_back_slowly() -> None:
    pressure = Pressure()
    before = pressure.level
    up = learnt(pressure, calm=2, busy=9).level - before
    down = pressure.level - learnt(pressure, calm=2, busy=2).level
    assert up > 4 * down > 0


def test_where_nobody_writes_nobody_suffers() -> None:
    pressure = learnt(Pressure(), calm=2, busy=9, times=4)
    for _ in range(40):
        pressure.ease()
    assert (pressure.level, pressure.reason) == (0, "")


def test_nothing_is_judged_before_both_are_known() -> None:
    pressure = Pressure()
    for _ in range(20):
        pressure.note("shard_01", 50, is_calm=False)
        pressure.adapt(LIMITS)
    assert pressure.level == Pressure().level
    assert pressure.reason == ""


def test_a_single_slow_write_is_no_news() -> None:
    pressure = learnt(Pressure(), calm=2, busy=2)
    for ms in (2, 2, 2, 2, 2, 80):
        pressure.note("shard_01", ms, is_calm=False)
    pressure.adapt(LIMITS)
    assert pressure.reason == ""
