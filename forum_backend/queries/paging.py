"""Keyset pages: opaque cursors that name the last row seen, so that no page has gaps or doubles while people write."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from django.db.models import BooleanField, F, Func, QuerySet, Value

from forum_backend.domain.errors import Invalid

MAX_LIMIT = 100
DEFAULT_LIMIT = 50
MAX_CURSOR_LENGTH = 400
# What a cursor may say: the page after its key or before it, without the row of the key or with it.
AFTER, FROM, BEFORE, UP_TO = "gt", "ge", "lt", "le"
_BACKWARDS = frozenset({BEFORE, UP_TO})


@dataclass(frozen=True, slots=True)
class Order:
    """A list's order: its name (cursors of other lists are refused), its key columns and their types, its direction."""

    name: str
    columns: tuple[str, ...]
    types: tuple[type, ...]
    is_descending: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list: ``side`` of the row with this ``key``."""

    side: str
    key: tuple[Any, ...]

    @property
    def is_backwards(self) -> bool:
        return self.side in _BACKWARDS


@dataclass(frozen=True, slots=True)
class Page[T]:
    """Rows in the list's order, the cursors of the pages around them, and the row ahead that was read to know."""

    rows: list[T]
    next: str | None
    previous: str | None
    ahead: tuple[T, ...] = ()

    def answer(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """The page as readers get it."""
        return {"items": items, "next": self.next, "previous": self.previous}


def encode_cursor(order: Order, side: str, key: tuple[Any, ...]) -> str:
    """A cursor as text."""
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in key]
    return base64.urlsafe_b64encode(orjson.dumps([order.name, side, *plain])).decode().rstrip("=")


def decode_cursor(order: Order, text: str | None) -> Cursor | None:
    """The place that a cursor names; ``Invalid`` for anything that this list did not give out."""
    if not text:
        return None
    try:
        if len(text) > MAX_CURSOR_LENGTH:
            raise ValueError
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        name, side, *plain = orjson.loads(raw)
        if name != order.name or side not in {AFTER, FROM, BEFORE, UP_TO} or len(plain) != len(order.types):
            raise ValueError
        return Cursor(side, tuple(_typed(value, kind) for value, kind in zip(plain, order.types, strict=True)))
    except (ValueError, TypeError, binascii.Error, UnicodeEncodeError) as error:
        raise Invalid("The cursor is not one of this list", fields={"cursor": "a cursor of this list"}) from error


def _typed(value: Any, kind: type) -> Any:
    if kind is datetime:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError(value)
        return at
    if type(value) is not kind or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        raise ValueError(value)
    return value


def bounded(limit: int) -> int:
    """The limit if it is one; ``Invalid`` otherwise."""
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(f"limit is from 1 to {MAX_LIMIT}", fields={"limit": f"from 1 to {MAX_LIMIT}"})
    return limit


def read_page(
    rows: QuerySet[Any],
    *,
    order: Order,
    cursor: str | None,
    limit: int,
    boundary: Callable[[tuple[Any, ...]], tuple[Any, ...]] = lambda key: key,
    key_of: Callable[[Any], tuple[Any, ...]] | None = None,
) -> Page[Any]:
    """One page of a queryset. ``boundary`` turns a cursor's key into what the columns are compared with."""
    place = decode_cursor(order, cursor)
    backwards = place is not None and place.is_backwards
    if place is not None:
        rows = rows.filter(_beyond(order, place, boundary(place.key)))
    sign = "-" if order.is_descending != backwards else ""
    found = list(rows.order_by(*(sign + column for column in order.columns))[: bounded(limit) + 1])
    ahead = tuple(found[limit:])
    del found[limit:]
    if backwards:
        found.reverse()
    page = _around(found, order, place, bool(ahead), key_of or (lambda row: _key(row, order)))
    return replace(page, ahead=ahead)


def _key(row: Any, order: Order) -> tuple[Any, ...]:
    return tuple(getattr(row, column) for column in order.columns)


def _beyond(order: Order, place: Cursor, key: tuple[Any, ...]) -> Func:
    """``(a, b) > (x, y)``, which PostgreSQL answers from the index that has the columns in this order."""
    greater = place.is_backwards == order.is_descending
    operator = (">" if greater else "<") + ("=" if place.side in {FROM, UP_TO} else "")
    columns = Func(*(F(column) for column in order.columns), template="(%(expressions)s)")
    values = Func(*(v if hasattr(v, "as_sql") else Value(v) for v in key), template="(%(expressions)s)")
    return Func(columns, values, template="(%(expressions)s)", arg_joiner=f" {operator} ", output_field=BooleanField())


def _around(
    rows: list[Any], order: Order, place: Cursor | None, has_more: bool, key_of: Callable[[Any], tuple[Any, ...]]
) -> Page[Any]:
    backwards = place is not None and place.is_backwards
    has_next, has_previous = (True, has_more) if backwards else (has_more, place is not None)
    if rows:
        following = encode_cursor(order, AFTER, key_of(rows[-1])) if has_next else None
        preceding = encode_cursor(order, BEFORE, key_of(rows[0])) if has_previous else None
        return Page(rows, following, preceding)
    if place is None:
        return Page(rows, None, None)
    turned = {AFTER: UP_TO, FROM: BEFORE, BEFORE: FROM, UP_TO: AFTER}[place.side]
    back = encode_cursor(order, turned, place.key)
    return Page(rows, back, None) if backwards else Page(rows, None, back)
