"""Attempts are counted apart, and refused with the time to wait."""

import pytest

from forum_backend.domain.errors import TooManyRequests
from forum_backend.services.attempts import WINDOW_S, AttemptLimit


def test_attempts_are_counted_by_kind_and_who() -> None:
    limit = AttemptLimit()
    for who in ("a", "b"):
        for _attempt in range(3):
            limit.count("name", who, limit=3)
    limit.count("address", "a", limit=3)
    with pytest.raises(TooManyRequests) as refused:
        limit.count("name", "a", limit=3)
    assert 1 <= refused.value.retry_after_s <= WINDOW_S
