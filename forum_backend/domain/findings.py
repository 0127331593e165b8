"""What a doctor finds: a code for programs, how bad it is, where, what was found, what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """Whether a move cannot work, works slowly or leaves something to be put right, or should only be known of."""

    STOPS = "stops"
    SLOWS = "slows"
    NOTE = "note"


ORDER = list(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be. ``forum`` None: it concerns all forums of the shard."""

    code: str
    severity: Severity
    shard: str
    found: str
    advice: str
    forum: int | None = None

    def shape(self) -> dict[str, Any]:
        """For readers."""
        return {
            "code": self.code,
            "severity": str(self.severity),
            "shard": self.shard,
            "forum": None if self.forum is None else str(self.forum),
            "found": self.found,
            "advice": self.advice,
        }


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once: what stops a move before what slows it, then by shard."""
    return sorted(set(findings), key=lambda f: (ORDER.index(f.severity), f.shard, f.code, f.forum or 0, f.found))


def stopping(findings: Iterable[Finding]) -> list[Finding]:
    """Those that a move would fail with."""
    return [finding for finding in worst_first(findings) if finding.severity is Severity.STOPS]
