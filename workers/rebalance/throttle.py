"""How fast a copy may be: it rests after each chunk, the longer the slower small writes on its shards have become."""

import time
from collections.abc import Callable

# Of the time of a chunk, when nothing suffers; and at most, when something does.
LEAST_REST, MOST_REST = 0.25, 4.0
LONGEST_REST_S = 1.0
# A write is slow when it takes this many times what it took at best, and noticeably longer.
SLOW_FACTOR, SLOW_MS = 3.0, 10.0


class Throttle:
    """``probe`` does a small durable write on each shard and says how many milliseconds each took."""

    def __init__(self, *, probe: Callable[[], dict[str, float]]) -> None:
        self._probe = probe
        self._best: dict[str, float] = {}
        self._share = LEAST_REST

    def rest(self, *, after_s: float) -> str:
        """Wait as long as is right after a chunk of ``after_s`` seconds; says why it is slow, empty if it is not."""
        reason = self.adapt(self._probe())
        time.sleep(min(after_s * self._share, LONGEST_REST_S))
        return reason

    def adapt(self, took: dict[str, float]) -> str:
        """Rest twice as long while writes are slow, a little less each time they are not."""
        slow = {shard: ms for shard, ms in took.items() if self._is_slow(shard, ms)}
        for shard, ms in took.items():
            self._best[shard] = min(ms, self._best.get(shard, ms))
        self._share = min(self._share * 2, MOST_REST) if slow else max(self._share * 0.8, LEAST_REST)
        if not slow:
            return ""
        shard, ms = max(slow.items(), key=lambda pair: pair[1])
        return f"writes on {shard} take {ms:.0f} ms; at best {self._best[shard]:.0f}"

    def _is_slow(self, shard: str, ms: float) -> bool:
        best = self._best.get(shard)
        return best is not None and ms > max(best * SLOW_FACTOR, best + SLOW_MS)
