"""What the hub asks the databases now and then: how far forums are, where they went, which shards there are."""

import logging

from forum_backend.domain.errors import ForumError
from forum_backend.queries.history import last_number_of, owned_last_numbers
from forum_backend.services.crossing import in_service_thread
from routers.directory import Location, directory
from routers.fanout import fan_out
from routers.registry import registry

logger = logging.getLogger(__name__)

ASKED_ALONE = 20


async def last_numbers_of(forums: list[int]) -> dict[int, int]:
    """The last number of each forum that answers in time."""
    return await in_service_thread(_last_numbers, forums) if forums else {}


def _last_numbers(forums: list[int]) -> dict[int, int]:
    """One query a shard; the few forums that are not where they are believed to be are looked for one by one."""
    by_shard: dict[str, list[int]] = {}
    for forum in forums:
        known = directory.known(forum)
        if known is not None:
            by_shard.setdefault(known.shard, []).append(forum)
    fanned = fan_out(lambda alias: owned_last_numbers(alias, by_shard[alias]), shards=by_shard)
    found = {forum: number for numbers in fanned.answers.values() for forum, number in numbers.items()}
    for shard, numbers in fanned.answers.items():
        for forum in [forum for forum in by_shard[shard] if forum not in numbers][:ASKED_ALONE]:
            try:
                found[forum] = last_number_of(forum)
            except ForumError as error:
                extra = {"action": "follow", "forum": forum, "error": type(error).__name__}
                logger.info("A forum that is followed was not found", extra=extra)
    return found


def take_over_location(message: bytes) -> None:
    """A forum has moved: ``forum shard epoch``."""
    forum, shard, epoch = message.decode().split()
    directory.correct(int(forum), Location(registry.ensure(shard), int(epoch)))


def load_shards() -> None:
    """Learn of new shards."""
    registry.refresh()
