"""Finds forums in which a consumer is behind although no stream says so: a walk over all counters, page by page."""

from forum_backend.queries.history import numbers_from
from routers.registry import registry
from workers.relay.consumers import Consumer, cursors_of

PAGE = 1000


class Sweep:
    """One place in each shard. ``restart`` begins a whole round in a hurry; without one it goes on slowly for ever."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._places: dict[str, int] = {}
        self._hurried: set[str] = set()
        self._turn = 0

    def restart(self) -> None:
        """Look at every forum of every shard again, as soon as possible."""
        self._places.clear()
        self._hurried = set(registry.aliases())

    @property
    def is_hurried(self) -> bool:
        return bool(self._hurried)

    def next_shard(self) -> str | None:
        """Whose page is next: the shards take turns, those of a hurried round first."""
        shards = sorted(self._hurried) or registry.aliases()
        self._turn += 1
        return shards[self._turn % len(shards)] if shards else None

    def behind_on(self, shard: str) -> list[int]:
        """The forums of the shard's next page in which the consumer is behind."""
        page = numbers_from(shard, after_forum=self._places.get(shard, 0), limit=PAGE)
        cursors = cursors_of(self._consumer, [forum for forum, _ in page])
        if len(page) < PAGE:
            self._places.pop(shard, None)
            self._hurried.discard(shard)
        else:
            self._places[shard] = page[-1][0]
        return [forum for forum, number in page if cursors[forum] < number]
