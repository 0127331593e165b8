"""The limits of copies as they are now; movers ask again and again."""

from dataclasses import asdict
from typing import Any

from forum_backend.data.control.moves.models import MoveLimits
from forum_backend.domain.limits import CopyLimits
from forum_backend.queries.shapes import optional_timestamp

ROW = 1  # there is one
NAMES = ("rows_per_second", "slow_factor", "slow_ms", "lag_s")


def read_limits() -> CopyLimits:
    """Those that were set, or the usual ones."""
    row = MoveLimits.objects.filter(pk=ROW).values(*NAMES).first()
    return CopyLimits(**row) if row else CopyLimits()


def limits_shape() -> dict[str, Any]:
    """The limits as readers see them."""
    changed_at = MoveLimits.objects.filter(pk=ROW).values_list("changed_at", flat=True).first()
    return {**asdict(read_limits()), "changed_at": optional_timestamp(changed_at)}
