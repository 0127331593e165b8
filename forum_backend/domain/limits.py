"""How fast copies may be, and what makes them slower; operators change it while they run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyLimits:
    """``rows_per_second`` of one copy; None: as fast as others do not suffer.

    Writes are slow when they take ``slow_factor`` times what they take while the copy pauses, and ``slow_ms``
    milliseconds longer. A copy stops while a replica of its shards is more than ``lag_s`` seconds behind.
    """

    rows_per_second: int | None = None
    slow_factor: float = 1.25
    slow_ms: float = 1.0
    lag_s: float = 5.0
