"""Ids that route themselves: the low bits of every id below a forum are the forum's number.

``id = (n << FORUM_BITS) | forum_number``, with ``n`` from a sequence of the shard. Ids stay exact in
JavaScript (below 2**53) until ``n`` reaches 2**30; in JSON they are strings all the same.
"""

from typing import NewType

from forum_backend.domain.errors import InvalidId

FORUM_BITS = 23
MAX_FORUM_NUMBER = (1 << FORUM_BITS) - 1
MAX_ID = (1 << 63) - 1

ForumId = NewType("ForumId", int)
ThreadId = NewType("ThreadId", int)
PostId = NewType("PostId", int)
UserId = NewType("UserId", int)


def routed_id(*, n: int, forum: int) -> int:
    """The id of the ``n``-th row of a forum. ``n`` >= 1, 1 <= forum <= MAX_FORUM_NUMBER, else ``InvalidId``."""
    if n < 1 or not 1 <= forum <= MAX_FORUM_NUMBER or n > MAX_ID >> FORUM_BITS:
        raise InvalidId(f"n={n}, forum={forum}")
    return (n << FORUM_BITS) | forum


def forum_of(routed: int) -> ForumId:
    """The number of the forum that a routed id belongs to; ``InvalidId`` if it names none."""
    forum = routed & MAX_FORUM_NUMBER
    if forum == 0 or not MAX_FORUM_NUMBER < routed <= MAX_ID:
        raise InvalidId(str(routed))
    return ForumId(forum)


def n_of(routed: int) -> int:
    """The position of a routed id in its shard's sequence (for an event: its number in the forum)."""
    return routed >> FORUM_BITS


def parse_id(text: str) -> int:
    """A routed id from its decimal text in a URL or in JSON; ``InvalidId`` for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise InvalidId(text[:40])
    value = int(text)
    forum_of(value)
    return value
