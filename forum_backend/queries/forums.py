"""Reading forums: one by number or slug, and lists over all shards that say which shards are missing."""

import functools
import logging
import re
import threading
from typing import Any

from cachetools import LRUCache

from forum_backend.data.control.directory.models import ForumPlacement
from forum_backend.data.shard.models import Forum, ForumCounters, Ownership
from forum_backend.domain.errors import ForumMoving, NotFound, ShardUnavailable
from forum_backend.domain.ids import MAX_FORUM_NUMBER
from forum_backend.domain.moves import OwnershipMode
from forum_backend.queries.forum_read import forum_read
from forum_backend.queries.paging import Order, read_page
from forum_backend.queries.profiles import with_authors
from forum_backend.queries.shapes import Shape, forum_shape
from routers.directory import directory
from routers.fanout import fan_out
from routers.registry import registry

logger = logging.getLogger(__name__)

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")
NEWEST = Order("forums", ("forum_id",), (int,), is_descending=True)

_slugs: LRUCache[str, int] = LRUCache(100_000)  # a slug belongs to one forum for ever
_lock = threading.Lock()


def forum_by(*, slug_or_id: str) -> int:
    """The number of a forum from its number or slug, as they stand in an address. ``NotFound``."""
    if slug_or_id.isascii() and slug_or_id.isdigit() and len(slug_or_id) < 9:
        number = int(slug_or_id)
        if not 1 <= number <= MAX_FORUM_NUMBER:
            raise NotFound("forum", slug_or_id)
        return number
    if not SLUG.fullmatch(slug_or_id):
        raise NotFound("forum", slug_or_id)
    with _lock:
        known = _slugs.get(slug_or_id)
    return known or _number_of_slug(slug_or_id)


def _number_of_slug(slug: str) -> int:
    number = ForumPlacement.objects.filter(slug=slug, is_ready=True).values_list("forum_id", flat=True).first()
    if number is None:
        raise NotFound("forum", slug)
    with _lock:
        _slugs[slug] = number
    return number


def forum_page(forum_id: int, *, for_staff: bool = False) -> Shape:
    """A forum as readers see it; staff see its shard and epoch as well. ``NotFound`` if it was deleted."""
    shape = forum_read(forum_id, functools.partial(_shape_on, forum_id=forum_id))
    with_authors([shape], key="owner")
    return _located(shape) if for_staff else shape


def number_on(alias: str, forum_id: int) -> int:
    """The number of a forum's newest event, inside a read of it; what is read after it is at least as new."""
    counters = ForumCounters.objects.using(alias).filter(pk=forum_id)
    return counters.values_list("last_number", flat=True).first() or 0


def _present(alias: str, forum_id: int) -> Forum:
    found: Forum | None = (
        Forum.objects.using(alias).filter(pk=forum_id, is_deleted=False).select_related("counters").first()
    )
    if found is None:
        raise NotFound("forum", forum_id)
    return found


def refuse_if_deleted(alias: str, forum_id: int) -> None:
    """``NotFound`` unless the forum is there, inside a read of the forum."""
    if not Forum.objects.using(alias).filter(pk=forum_id, is_deleted=False).exists():
        raise NotFound("forum", forum_id)


def list_forums(*, cursor: str | None = None, limit: int = 50, for_staff: bool = False) -> dict[str, Any]:
    """All forums, newest first, a page of the directory; ``missing_shards`` names those that did not answer."""
    placements = ForumPlacement.objects.filter(is_ready=True, deleted_at=None)
    page = read_page(placements, order=NEWEST, cursor=cursor, limit=limit)
    shapes, missing = _shapes_of(page.rows)
    items = [shapes[row.forum_id] for row in page.rows if row.forum_id in shapes]
    with_authors(items, key="owner")
    if for_staff:
        items = [_located(item) for item in items]
    return {**page.answer(items), "missing_shards": missing}


def _shapes_of(placements: list[ForumPlacement]) -> tuple[dict[int, Shape], list[str]]:
    """Each forum's shape from the shard it is believed to be on, then those that have left it, one by one."""
    by_shard: dict[str, list[int]] = {}
    for placement in placements:
        known = directory.known(placement.forum_id)
        shard = known.shard if known else registry.ensure(placement.shard_id)
        by_shard.setdefault(shard, []).append(placement.forum_id)
    fanned = fan_out(lambda alias: _shapes_on(alias, by_shard[alias]), shards=by_shard)
    shapes = {number: shape for found in fanned.answers.values() for number, shape in found.items()}
    missing = set(fanned.missing)
    for shard, numbers in by_shard.items():
        if shard not in fanned.missing:
            _follow([number for number in numbers if number not in shapes], shapes, missing)
    return shapes, sorted(missing)


def _follow(numbers: list[int], shapes: dict[int, Shape], missing: set[str]) -> None:
    """Look for forums where they have gone; what is not there any more was deleted."""
    for number in numbers:
        try:
            shapes[number] = forum_read(number, functools.partial(_shape_on, forum_id=number))
        except NotFound:
            continue
        except ForumMoving:
            logger.warning("A forum is left out of a list: no shard has it", extra={"action": "list", "forum": number})
        except ShardUnavailable as unavailable:
            missing.add(unavailable.shard)


def _shape_on(alias: str, *, forum_id: int) -> Shape:
    return forum_shape(_present(alias, forum_id))


def _shapes_on(alias: str, numbers: list[int]) -> dict[int, Shape]:
    """The forums of a shard that it owns; rows first, then the shard's word on them, as in every read."""
    rows = list(Forum.objects.using(alias).filter(pk__in=numbers, is_deleted=False).select_related("counters"))
    owned = Ownership.objects.using(alias).filter(pk__in=numbers, mode=OwnershipMode.OWNER)
    owners = set(owned.values_list("forum_id", flat=True))
    return {forum.id: forum_shape(forum) for forum in rows if forum.id in owners}


def _located(shape: Shape) -> Shape:
    location = directory.locate(int(shape["id"]))
    return {**shape, "shard": location.shard, "epoch": location.epoch}
