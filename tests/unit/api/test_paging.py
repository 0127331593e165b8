"""Cursors come back as they went out, and nothing else is taken for one."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forum_backend.domain.errors import Invalid
from forum_backend.queries.paging import (
    AFTER,
    BEFORE,
    FROM,
    UP_TO,
    Cursor,
    Order,
    bounded,
    decode_cursor,
    encode_cursor,
)

LIST = Order("list", ("pinned", "at", "id"), (bool, datetime, int), is_descending=True)
BIG = st.integers(-(2**63), 2**63 - 1)
TIMES = st.datetimes(timezones=st.just(UTC))


@given(st.booleans(), TIMES, BIG, st.sampled_from([AFTER, FROM, BEFORE, UP_TO]))
def test_there_and_back(pinned: bool, at: datetime, number: int, side: str) -> None:
    key = (pinned, at, number)
    assert decode_cursor(LIST, encode_cursor(LIST, side, key)) == Cursor(side, key)


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        assert decode_cursor(LIST, text) is None or text
    except Invalid:
        return


@pytest.mark.parametrize(
    "key",
    [(True, "2026-01-01T00:00:00", 1), (1, "2026-01-01T00:00:00+00:00", 1), (True, 5, 1), (True, "x", 1), (True,)],
)
def test_keys_of_other_types_are_refused(key: tuple) -> None:
    with pytest.raises(Invalid):
        decode_cursor(LIST, encode_cursor(LIST, AFTER, key))


def test_a_cursor_of_another_list_is_refused() -> None:
    other = Order("other", ("id",), (int,))
    with pytest.raises(Invalid):
        decode_cursor(LIST, encode_cursor(other, AFTER, (5,)))


def test_limits() -> None:
    assert [bounded(1), bounded(100)] == [1, 100]
    for limit in (0, -1, 101):
        with pytest.raises(Invalid):
            bounded(limit)
