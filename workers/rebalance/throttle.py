"""How fast a copy may be: it works in short stretches and rests, as long as small writes on its shards stay fast.

Every few seconds it pauses for a moment, to know what a write takes without it. The limits of operators are kept too,
and may change at any time.
"""

import time
from collections import Counter
from collections.abc import Callable

from forum_backend.domain.limits import CopyLimits
from workers.rebalance.pressure import ENOUGH, LEAST_REST, LONGEST_STRETCH_S, Pressure
from workers.rebalance.prober import CALM_EVERY_S, Prober

MOST_ROWS, LEAST_ROWS, FIRST_ROWS = 5_000, 100, 1_000
# A small forum is copied before anything could be learnt.
PROBE_AFTER_S = 0.2
# A pause lasts until enough is known, but no longer than this.
PAUSE_EVERY_S, LONGEST_PAUSE_S = 4.0, 0.5
# Waiting is done in slices: there may be other limits, or no time, after each.
SLICE_S = 0.1
SHORTEST_S = 1e-6
# So many rows at once that a limit is kept within a quarter of a second.
SHARE_OF_SECOND = 0.25


class Throttle:
    """Of one mover. ``tell`` is given the reason for being slow, now and then, and says whether there is time left.

    ``level``: what an earlier task of the same move had come to, as ``Pressure`` counts it.
    """

    def __init__(
        self,
        shards: tuple[str, ...],
        *,
        tell: Callable[[str], bool],
        limits: Callable[[], CopyLimits],
        level: float | None = None,
    ) -> None:
        self._shards = shards
        self._tell = tell
        self._read_limits = limits
        self._limits: CopyLimits | None = None
        self._pressure = Pressure()
        self._prober: Prober | None = None
        self._worked_s = 0.0
        self._paused_at = float("-inf")
        self._rows = FIRST_ROWS
        if level is not None:
            self._pressure.level, self._worked_s = level, PROBE_AFTER_S
            self._rows = max(LEAST_ROWS, round(FIRST_ROWS * self._pressure.stretch_s / LONGEST_STRETCH_S))

    @property
    def level(self) -> float | None:
        """For the next task; None while nothing is known."""
        return None if self._prober is None else self._pressure.level

    @property
    def limits(self) -> CopyLimits:
        if self._limits is None:
            self.look_again()
        return self._limits or CopyLimits()

    def look_again(self) -> None:
        """The limits may have been changed."""
        self._limits = self._read_limits()

    @property
    def rows(self) -> int:
        """How many rows the next stretch may have."""
        most = self.limits.rows_per_second
        return self._rows if most is None else max(1, min(self._rows, round(most * SHARE_OF_SECOND)))

    @property
    def is_unnoticed(self) -> bool:
        """Whether it is known that nobody suffers from the copy."""
        return self._prober is not None and self._pressure.level == 0

    def rest(self, *, rows: int, after_s: float, is_limited: bool = True) -> None:
        """Wait as long as is right after ``rows`` that took ``after_s`` seconds; only copied rows are limited."""
        ended = time.monotonic()
        self._worked_s += after_s
        self._aim(rows, after_s)
        self._learn()
        began, until = ended - after_s, ended + after_s * self._share()
        reason = ""
        while True:
            behind, owed_s = self._behind(), self._owed_s(began, rows) if is_limited else 0.0
            limited = f"the limit of {self.limits.rows_per_second:,} rows a second" if owed_s > 0 else ""
            # Who looks at the end of this rest is told what it was for.
            reason = behind or limited or self._pressure.reason or reason
            if not self._tell(reason):
                return
            left_s = max(until - time.monotonic(), owed_s, SLICE_S if behind else 0.0)
            if left_s <= 0:
                break
            time.sleep(min(left_s, SLICE_S))
        self._pause()

    def stop(self) -> None:
        """The copy is over, or broke off."""
        if self._prober is not None:
            self._prober.stop()
            self._prober = None

    def _share(self) -> float:
        return self._pressure.rest if self._prober is not None else LEAST_REST

    def _aim(self, rows: int, after_s: float) -> None:
        """So many rows that the next stretch takes as long as it may; changes by at most two times.

        Fewer rows than asked for, as a small table has, say nothing, unless they took too long all the same.
        """
        stretch_s = self._pressure.stretch_s
        if after_s > stretch_s or rows >= self._rows // 2:
            aimed = min(self._rows * 2, max(self._rows // 2, round(rows * stretch_s / max(after_s, SHORTEST_S))))
            self._rows = min(MOST_ROWS, max(LEAST_ROWS, aimed))

    def _learn(self) -> None:
        if self._prober is None:
            if self._worked_s < PROBE_AFTER_S:
                return
            self._prober = Prober(self._shards)
            self._prober.start()
        self._note(self._prober)
        if self._prober.written:
            self._pressure.adapt(self.limits)
        else:
            self._pressure.ease()

    def _note(self, prober: Prober) -> list[str]:
        """Keep what was measured since; the shards of the calm ones among it."""
        calm = []
        for sample in prober.take():
            if sample.shard in prober.written or sample.is_calm:
                self._pressure.note(sample.shard, sample.ms, is_calm=sample.is_calm)
            if sample.is_calm:
                calm.append(sample.shard)
        return calm

    def _pause(self) -> None:
        """Now and then: nothing for a moment, so that what writes take by themselves is known."""
        if self._prober is None or time.monotonic() - self._paused_at < PAUSE_EVERY_S:
            return
        calm: Counter[str] = Counter()
        until = time.monotonic() + LONGEST_PAUSE_S
        self._prober.pause(True)
        while min(calm[shard] for shard in self._shards) < ENOUGH and time.monotonic() < until:
            time.sleep(CALM_EVERY_S)
            calm.update(self._note(self._prober))
        self._prober.pause(False)
        self._paused_at = time.monotonic()

    def _behind(self) -> str:
        replica = self._prober.farthest() if self._prober is not None else None
        if replica is None or replica.behind_s <= self.limits.lag_s:
            return ""
        return (
            f"replica {replica.name!r} of {replica.shard} is {replica.behind_s:.1f} s behind, "
            f"at most {self.limits.lag_s:g} are allowed"
        )

    def _owed_s(self, began: float, rows: int) -> float:
        most = self.limits.rows_per_second
        return 0.0 if most is None else began + rows / most - time.monotonic()
