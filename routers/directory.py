"""Where each forum lives, in memory: a bounded cache of forum number -> (shard, epoch).

A hint, never the truth: the shard itself decides (``forum_enter``), and its refusal corrects the entry here. So a
stale or lost entry costs one more round trip and nothing else.
"""

import threading
from dataclasses import dataclass

from django.db import connections

from forum_backend.domain.errors import NotFound
from routers.registry import registry

CAPACITY = 1_000_000
_INDEX_BITS = 16


@dataclass(frozen=True, slots=True)
class Location:
    """The shard a forum is believed to live on, and the epoch at which."""

    shard: str
    epoch: int


class Directory:
    """Least recently used in two generations: a full young one becomes the old one, a hit in the old one returns.

    An entry is one integer, epoch and shard packed, in a plain dict: some 100 bytes, one or two look-ups.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._half = max(1, capacity // 2)
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}
        self._shards: list[str] = []
        self._indexes: dict[str, int] = {}
        self._lock = threading.Lock()

    def known(self, forum: int) -> Location | None:
        """What is in memory, without I/O."""
        packed = self._young.get(forum)
        if packed is None:
            packed = self._old.get(forum)
            if packed is None:
                return None
            self._put(forum, packed)
        return Location(self._shards[packed & ((1 << _INDEX_BITS) - 1)], packed >> _INDEX_BITS)

    def locate(self, forum: int) -> Location:
        """As ``known``, with one query to the control database on a miss. ``NotFound`` if there is no such forum."""
        return self.known(forum) or self.reload(forum)

    def reload(self, forum: int) -> Location:
        """Ask the control database, and believe it unless a shard told of a higher epoch meanwhile."""
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT shard_id, epoch FROM forum_placement WHERE forum_id = %s", [forum])
            row = cursor.fetchone()
        if row is None:
            raise NotFound("forum", forum)
        registry.ensure(row[0])
        return self.correct(forum, Location(*row))

    def correct(self, forum: int, location: Location) -> Location:
        """Take over a location unless a later epoch is known; return what is believed now."""
        with self._lock:
            current = self.known(forum)
            if current is not None and current.epoch > location.epoch:
                return current
            self._put(forum, (location.epoch << _INDEX_BITS) | self._index(location.shard))
        return location

    def forget(self, forum: int) -> None:
        """Drop an entry; the next look-up asks the control database."""
        with self._lock:
            self._young.pop(forum, None)
            self._old.pop(forum, None)

    def clear(self) -> None:
        """Drop all entries."""
        with self._lock:
            self._young, self._old = {}, {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def _put(self, forum: int, packed: int) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[forum] = packed

    def _index(self, shard: str) -> int:
        index = self._indexes.get(shard)
        if index is None:
            self._shards.append(shard)
            index = self._indexes[shard] = len(self._shards) - 1
        return index


directory = Directory()
