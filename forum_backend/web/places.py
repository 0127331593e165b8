"""Where a list goes on, as text in an address: a time, an id, and whether it is among the pinned ones."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list ordered by pin, time and id."""

    is_pinned: bool
    at: datetime
    id: int


def write_place(at: datetime, id_: int, *, is_pinned: bool = False) -> str:
    """A place as text."""
    return f"{'p' if is_pinned else ''}{at.astimezone(UTC):%Y%m%dT%H%M%S.%f}-{id_}"


def read_place(text: str) -> Place | None:
    """The place of a text; None (the beginning) for anything else."""
    at, separator, number = text[:80].removeprefix("p").partition("-")
    if not separator or not (number.isascii() and number.isdigit() and len(number) <= 18):
        return None
    try:
        return Place(text.startswith("p"), datetime.strptime(at, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC), int(number))
    except ValueError:
        return None
