"""The front page: forums over all shards, the most recently active first, and which shards did not answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import connections

from forum_backend.domain.moves import OwnershipMode
from routers.fanout import fan_out

PAGE_SIZE = 30
type Place = tuple[datetime, int]

# Two branches, each with an index: forums with posts by their last one, forums without by their number (they are
# created in the order of their numbers). A departed forum's rows may lie here for a while: the ownership row decides.
ACTIVE_SQL = """
SELECT f.forum_id, f.slug, f.name, f.description, coalesce(c.threads_count, 0), coalesce(c.posts_count, 0),
       coalesce(c.last_post_at, f.created_at) AS active_at, o.mode
FROM (
    (SELECT forum_id FROM forum_counters
     WHERE last_post_at IS NOT NULL AND (last_post_at, forum_id) < (%(at)s, %(id)s)
     ORDER BY last_post_at DESC, forum_id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT f.forum_id FROM forum f LEFT JOIN forum_counters c USING (forum_id)
     WHERE c.last_post_at IS NULL AND (f.created_at, f.forum_id) < (%(at)s, %(id)s)
     ORDER BY f.forum_id DESC LIMIT %(limit)s)
) AS candidate
JOIN forum f USING (forum_id)
JOIN ownership o USING (forum_id)
LEFT JOIN forum_counters c USING (forum_id)
WHERE o.mode IN ('owner', 'fenced') AND NOT f.is_deleted
ORDER BY active_at DESC, f.forum_id DESC
"""
FIRST: Place = (datetime(9999, 1, 1, tzinfo=UTC), 0)


@dataclass(frozen=True, slots=True)
class ForumCard:
    """A forum as lists show it."""

    id: int
    slug: str
    name: str
    description: str
    threads_count: int
    posts_count: int
    active_at: datetime
    mode: str

    @property
    def place(self) -> Place:
        """Its place in the order of activity."""
        return self.active_at, self.id


@dataclass(frozen=True, slots=True)
class FrontPage:
    """One page of forums; ``next`` is the place to go on from, ``missing_shards`` those that did not answer."""

    forums: list[ForumCard]
    next: Place | None
    missing_shards: list[str]


def front_page(*, after: Place | None = None, limit: int = PAGE_SIZE) -> FrontPage:
    """Forums after a place in the order of activity, merged over the shards that answer in time."""
    at, number = after or FIRST
    fanned = fan_out(lambda alias: _on_shard(alias, at=at, number=number, limit=limit + 1))
    merged = fanned.merged(key=lambda card: card.place, limit=2 * (limit + 1), reverse=True)
    cards = _one_each(merged)
    more = len(cards) > limit
    return FrontPage(cards[:limit], cards[limit - 1].place if more else None, fanned.missing)


def _on_shard(alias: str, *, at: datetime, number: int, limit: int) -> list[ForumCard]:
    with connections[alias].cursor() as cursor:
        cursor.execute(ACTIVE_SQL, {"at": at, "id": number, "limit": limit})
        return [ForumCard(*row) for row in cursor.fetchall()]


def _one_each(cards: Sequence[ForumCard]) -> list[ForumCard]:
    """Each forum once: while it moves, the source (fenced) and the target (owner) may both have listed it."""
    owners = {card.id for card in cards if card.mode == OwnershipMode.OWNER}
    return [card for card in cards if card.mode == OwnershipMode.OWNER or card.id not in owners]
