"""Pages of posts kept as finished JSON, and one small query that tells whether a kept page is still the page.

A page is known by its fingerprint. Rows of most orders are pushed off a page by newer ones alone, and versions only
grow, so the sum over the page's rows of ``n * FACTOR + version`` grows with any change. By points older rows may come
back: there the fingerprint is a hash of every id and version. The same statement reads the ownership row: a page is
served from memory only when its shard says, in that moment, that it owns the forum and that nothing
changed. Authors' cards are in the page, so a page is kept no longer than a card.
"""

import asyncio
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from cachetools import TTLCache

from forum_backend.data.shard.models import Post
from forum_backend.domain.ids import forum_of, n_of
from forum_backend.domain.moves import OwnershipMode
from forum_backend.queries.async_pools import read_pools
from forum_backend.queries.paging import AFTER, decode_cursor
from forum_backend.queries.posts import post_order, posts_answer, posts_of_thread
from forum_backend.queries.profiles import CARD_SECONDS
from forum_backend.queries.reads import count_read
from routers.directory import directory

FACTOR = 1_000_003
BYTES_KEPT = 64 * 1024 * 1024

_ORDER_BY = {
    "oldest": ("id", "id > %s"),
    "newest": ("id DESC", "id < %s"),
    "best": ("points DESC, id DESC", "(points, id) < (%s, %s)"),
    "nested": ("path", "path > (SELECT path FROM post WHERE id = %s)"),
}


_SUM = f"sum((id >> 23) * {FACTOR} + version)::text"
_HASH = "md5(string_agg(id || '.' || version, ',' ORDER BY id))"


def _statement(order: str, *, has_cursor: bool) -> str:
    by, beyond = _ORDER_BY[order]
    fingerprint = _HASH if order == "best" else _SUM
    where = f" AND {beyond}" if has_cursor else ""
    return (
        "SELECT o.mode, o.epoch, "  # noqa: S608  (only the constants above are put in)
        "t.id IS NOT NULL AND NOT t.is_deleted AND f.forum_id IS NOT NULL AND NOT f.is_deleted, page.fingerprint "
        "FROM ownership o LEFT JOIN thread t ON t.id = %s LEFT JOIN forum f ON f.forum_id = o.forum_id "
        f"CROSS JOIN LATERAL (SELECT {fingerprint} AS fingerprint FROM "
        f"(SELECT id, version FROM post WHERE thread_id = %s{where} ORDER BY {by} LIMIT %s) AS rows) AS page "
        "WHERE o.forum_id = %s"
    )


_STATEMENTS = {(order, cursor): _statement(order, has_cursor=cursor) for order in _ORDER_BY for cursor in (False, True)}


@dataclass(frozen=True, slots=True)
class PageKey:
    """Which page: the request's own words."""

    thread_id: int
    order: str
    cursor: str | None
    limit: int


@dataclass(frozen=True, slots=True)
class KeptPage:
    """A finished answer: its JSON, its ETag, and the fingerprint of the rows it was made from."""

    body: bytes
    etag: str
    fingerprint: str


_pages: TTLCache[PageKey, KeptPage] = TTLCache(BYTES_KEPT, CARD_SECONDS, getsizeof=lambda page: len(page.body) + 500)
_lock = threading.Lock()
# Questions by page: on its way to the shard, and not sent yet. Bounded by the open requests.
_running: dict[PageKey, asyncio.Task[KeptPage | None]] = {}
_next: dict[PageKey, asyncio.Task[KeptPage | None]] = {}


def fingerprint_of(posts: Sequence[Post], order: str) -> str:
    """What the statements above compute, of rows that were read."""
    if order == "best":
        versions = ",".join(f"{pk}.{version}" for pk, version in sorted((post.pk, post.version) for post in posts))
        return hashlib.md5(versions.encode(), usedforsecurity=False).hexdigest()
    return str(sum(n_of(post.pk) * FACTOR + post.version for post in posts))


def read_page(key: PageKey) -> KeptPage:
    """Read a page and keep it. Errors as those of ``queries.posts.list_posts``; for a service thread."""
    rows = posts_of_thread(thread_id=key.thread_id, order=key.order, cursor=key.cursor, limit=key.limit)
    body = orjson.dumps(posts_answer(rows))
    page = KeptPage(body, etag_of(body), fingerprint_of([*rows.rows, *rows.ahead], key.order))
    if len(body) * 8 < BYTES_KEPT:
        with _lock:
            _pages[key] = page
    return page


def etag_of(body: bytes) -> str:
    """A strong ETag of an answer."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


async def fresh_page(key: PageKey) -> KeptPage | None:
    """The kept page if its shard confirms it now; None if it has to be read. ``ShardUnavailable`` if nobody answers.

    Readers of one page share questions, never answers from before they came: who arrives while a question is on its
    way waits for the next one, together with all others who do. So what a reader is told was true after it asked.
    """
    question = _next.get(key)
    if question is None:
        question = _next[key] = asyncio.create_task(_ask_after(_running.get(key), key))
    page = await asyncio.shield(question)
    if page is not None:  # else it is counted where it is read
        count_read(forum_of(key.thread_id))
    return page


async def _ask_after(previous: asyncio.Task[KeptPage | None] | None, key: PageKey) -> KeptPage | None:
    if previous is not None:
        await asyncio.wait({previous})
    question = _running[key] = _next.pop(key)  # who comes from now on needs another question
    try:
        return await _ask(key)
    finally:
        if _running.get(key) is question:
            del _running[key]


async def _ask(key: PageKey) -> KeptPage | None:
    with _lock:
        kept = _pages.get(key)
    location = directory.known(forum_of(key.thread_id))
    if kept is None or location is None:
        return None
    place = decode_cursor(post_order(key.order), key.cursor)  # None for an empty cursor too
    if place is not None and place.side != AFTER:
        return None
    statement = _STATEMENTS[key.order, place is not None]
    beyond = place.key if place is not None else ()
    parameters = (key.thread_id, key.thread_id, *beyond, key.limit + 1, forum_of(key.thread_id))
    row = await read_pools.fetch_one(location.shard, statement, parameters)
    if row is None:
        return None
    mode, epoch, is_present, fingerprint = row
    is_ours = mode == OwnershipMode.OWNER and epoch == location.epoch
    return kept if is_ours and is_present and fingerprint == kept.fingerprint else None
