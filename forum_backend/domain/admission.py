"""Which moves may go on at once: so many from or to a shard, so many in all; who runs first, then who came first."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A move before its fence that a mover has in hand or could take now; one that is paused is no candidate."""

    move: int
    source: str
    target: str
    is_leased: bool
    has_begun: bool
    is_rollback: bool = False

    @property
    def rank(self) -> tuple[bool, bool, bool, int]:
        """The lowest goes first. A rollback, which is asked for in need, comes before what has not begun."""
        return (not self.is_leased, not self.has_begun, not self.is_rollback, self.move)


def waiting(candidates: Iterable[Candidate], *, per_shard: int, in_all: int) -> dict[int, str]:
    """What the moves wait for that may not go on now, in words; all others have a place."""
    taken: dict[str, int] = {}
    running = 0
    waits: dict[int, str] = {}
    for candidate in sorted(candidates, key=lambda c: c.rank):
        ends = (candidate.source, candidate.target)
        full = next((shard for shard in ends if taken.get(shard, 0) >= per_shard), None)
        if running >= in_all:
            waits[candidate.move] = f"a place: {running} moves run, at most {in_all} may"
        elif full is not None:
            waits[candidate.move] = f"a place on {full}: {taken.get(full, 0)} moves run there, at most {per_shard} may"
        else:
            running += 1
            for shard in ends:
                taken[shard] = taken.get(shard, 0) + 1
    return waits
