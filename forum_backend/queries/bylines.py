"""Who wrote what: accounts by their cards from the profiles, imported authors by the name they came with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from forum_backend.queries.profiles import author_cards

FORMER = "former member"
ANONYMOUS = "anonymous"


class Written(Protocol):
    """A row with an author."""

    @property
    def author_id(self) -> int | None: ...

    @property
    def guest_name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Byline:
    """The name to show; ``username`` only for accounts, whose profile it leads to."""

    name: str
    username: str | None = None


def bylines(rows: Sequence[Written]) -> list[Byline]:
    """One byline a row, with one look-up for all."""
    cards = author_cards({row.author_id for row in rows if row.author_id is not None})
    return [_byline(row, cards.get(row.author_id) if row.author_id else None) for row in rows]


def _byline(row: Written, card: dict[str, str] | None) -> Byline:
    if card is not None:
        return Byline(card["display_name"] or card["username"], card["username"])
    return Byline(row.guest_name or (FORMER if row.author_id else ANONYMOUS))
