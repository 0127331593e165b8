"""How long a copy may work at a stretch and must rest in between, from what small writes take while it does and not.

Short stretches matter more than long rests: who writes meanwhile waits for the rest of one, and a writer that is a few
milliseconds late does not notice, while one in a hundred that waits for a whole chunk is what a p99 shows.
"""

from collections import deque
from statistics import quantiles

from forum_backend.domain.limits import CopyLimits

# With nothing in the way, and when others suffer.
LONGEST_STRETCH_S, SHORTEST_STRETCH_S = 0.1, 0.01
LEAST_REST, MOST_REST = 0.25, 10.0  # times as long as the stretch
BEGINNING = 0.75
# Sinking looks for the edge again and again, and who writes feels each time that it was crossed.
UP, DOWN, DOWN_WHERE_NOBODY_WRITES = 0.25, 0.03, 0.1
CALM_KEPT, BUSY_KEPT = 40, 12
ENOUGH = 4


class Pressure:
    """``level`` 0: nobody suffers; 1: work as little as there is. Rises fast, sinks slowly."""

    def __init__(self) -> None:
        self.level = BEGINNING
        self.reason = ""
        self._calm: dict[str, deque[float]] = {}
        self._busy: dict[str, deque[float]] = {}

    @property
    def stretch_s(self) -> float:
        """How long to work before the next rest."""
        return float(LONGEST_STRETCH_S * (SHORTEST_STRETCH_S / LONGEST_STRETCH_S) ** self.level)

    @property
    def rest(self) -> float:
        """How long to rest, as a multiple of the work."""
        return float(LEAST_REST * (MOST_REST / LEAST_REST) ** self.level)

    def note(self, shard: str, ms: float, *, is_calm: bool) -> None:
        """What a small write took, while the copy pauses (``is_calm``) or not."""
        kept, most = (self._calm, CALM_KEPT) if is_calm else (self._busy, BUSY_KEPT)
        kept.setdefault(shard, deque(maxlen=most)).append(ms)

    def ease(self) -> None:
        """Nobody writes on either shard."""
        self.level = max(0.0, self.level - DOWN_WHERE_NOBODY_WRITES)
        self.reason = ""
        self._busy.clear()

    def adapt(self, limits: CopyLimits) -> None:
        """Judge what was noted since the last change, once there is enough of it."""
        judged = [
            shard for shard, taken in self._busy.items() if len(taken) >= ENOUGH and len(self._calm_on(shard)) >= ENOUGH
        ]
        if not judged:
            return
        slow = {shard: typical(self._busy[shard]) for shard in judged if self._is_slow(shard, limits)}
        self.level = min(1.0, self.level + UP) if slow else max(0.0, self.level - DOWN)
        self.reason = ""
        if slow:
            shard, ms = max(slow.items(), key=lambda pair: pair[1])
            self.reason = f"writes on {shard} take {ms:.1f} ms, {typical(self._calm[shard]):.1f} while the copy pauses"
        for shard in judged:
            self._busy[shard].clear()

    def _is_slow(self, shard: str, limits: CopyLimits) -> bool:
        calm = typical(self._calm[shard])
        return typical(self._busy[shard]) > max(calm * limits.slow_factor, calm + limits.slow_ms)

    def _calm_on(self, shard: str) -> deque[float]:
        return self._calm.get(shard, deque())


def typical(taken: deque[float]) -> float:
    """The third quartile: a single slow write is no news, a quarter of them is."""
    return quantiles(taken, n=4, method="inclusive")[2]
