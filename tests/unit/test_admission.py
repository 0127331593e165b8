"""Which moves may go on at once, in sentences."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from forum_backend.domain.admission import Candidate, waiting


def move(number: int, ends: str = "ab", **more: Any) -> Candidate:
    facts = {"is_leased": False, "has_begun": False, **more}
    return Candidate(move=number, source=f"shard_{ends[0]}", target=f"shard_{ends[1]}", **facts)


def test_the_oldest_go_first_and_the_others_are_told_what_they_wait_for() -> None:
    waits = waiting([move(3), move(1), move(2, "cb"), move(4, "cd")], per_shard=2, in_all=4)
    assert waits == {3: "a place on shard_b: 2 moves run there, at most 2 may"}
    waits = waiting([move(3, "ef"), move(1), move(2, "cd")], per_shard=2, in_all=2)
    assert waits == {3: "a place: 2 moves run, at most 2 may"}


def test_who_runs_goes_on_before_who_has_not_begun() -> None:
    one = {"per_shard": 1, "in_all": 9}
    assert set(waiting([move(1), move(2, has_begun=True)], **one)) == {1}
    assert set(waiting([move(1, has_begun=True), move(2, is_leased=True)], **one)) == {1}
    assert set(waiting([move(1), move(2, is_rollback=True), move(3, has_begun=True)], **one)) == {1, 2}
    assert set(waiting([move(1), move(2, is_rollback=True)], **one)) == {1}


def test_who_cannot_go_on_takes_no_place_from_those_behind() -> None:
    assert set(waiting([move(1), move(2), move(3, "cd")], per_shard=1, in_all=2)) == {2}


ends = st.permutations("abcd").map(lambda names: "".join(names[:2]))
moves = st.builds(move, st.integers(1, 99), ends, is_leased=st.booleans(), has_begun=st.booleans())


@given(st.lists(moves, unique_by=lambda m: m.move), st.integers(0, 3), st.integers(0, 5))
def test_no_more_have_a_place_than_the_limits_say_and_no_place_stays_free(
    candidates: list[Candidate], per_shard: int, in_all: int
) -> None:
    waits = waiting(candidates, per_shard=per_shard, in_all=in_all)
    placed = [c for c in candidates if c.move not in waits]
    taken = [shard for c in placed for shard in (c.source, c.target)]
    assert len(placed) <= in_all
    assert all(taken.count(shard) <= per_shard for shard in taken)
    for c in candidates:
        if c.move in waits:
            full = len(placed) == in_all or any(taken.count(shard) == per_shard for shard in (c.source, c.target))
            assert full, c
