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
MOST_SHARED = 10_000
# Only deleted forums are left on a shard that was removed.
_LOCATE = (
    "SELECT p.shard_id, p.epoch FROM forum_placement p JOIN shard s ON s.name = p.shard_id"
    " WHERE p.forum_id = %s AND s.state <> 'removed'"
)


@dataclass(frozen=True, slots=True)
class Location:
    """The shard a forum is believed to live on, and the epoch at which."""

    shard: str
    epoch: int


class Directory:
    """Least recently used in two generations: a full young one becomes the old one, a hit in the old one returns.

    Forums at one epoch on one shard share their ``Location``, so an entry is a number in a plain dict: some 90 bytes.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._half = max(1, capacity // 2)
        self._young: dict[int, Location] = {}
        self._old: dict[int, Location] = {}
        self._shared: dict[Location, Location] = {}
        self._lock = threading.Lock()

    def known(self, forum: int) -> Location | None:
        """What is in memory, without I/O."""
        location = self._young.get(forum)
        if location is None:
            location = self._old.get(forum)
            if location is not None:
                self._put(forum, location)
        return location

    def locate(self, forum: int) -> Location:
        """As ``known``, with one query to the control database on a miss. ``NotFound`` if there is no such forum."""
        return self.known(forum) or self.reload(forum)

    def reload(self, forum: int) -> Location:
        """Ask the control database, and believe it unless a shard told of a higher epoch meanwhile."""
        with connections["default"].cursor() as cursor:
            cursor.execute(_LOCATE, [forum])
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
            self._put(forum, self._same(location))
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

    def _put(self, forum: int, location: Location) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[forum] = location

    def _same(self, location: Location) -> Location:
        if len(self._shared) >= MOST_SHARED:  # entries keep theirs; only the sharing begins anew
            self._shared = {}
        return self._shared.setdefault(location, location)


directory = Directory()
