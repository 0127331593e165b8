"""The limit of a page read: the least code that gives a page of posts from the same SQL, without the service."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

# The rows of a page as the service shows them, with the ownership in the same round trip.
PAGE_SQL = (
    "SELECT o.mode, o.epoch, p.id, p.parent_id, p.author_id, p.guest_name, p.body, p.html, p.created_at, p.edited_at, "
    "p.is_deleted, p.is_spam, p.points, cardinality(p.path) "
    "FROM post p JOIN ownership o ON o.forum_id = p.forum_id WHERE p.thread_id = %s ORDER BY p.id LIMIT 51"
)
_pool: AsyncConnectionPool[AsyncConnection[Any]] | None = None


def shard_address(service: Any, *, forum: int) -> str:
    """The address of the shard that a forum lives on."""
    import psycopg

    from routers.addresses import shard_addresses

    with psycopg.connect(service.environment["DATABASE_URL"]) as connection:
        row = connection.execute("SELECT shard_id FROM forum_placement WHERE forum_id = %s", [forum]).fetchone()
    if row is None:
        raise LookupError(f"no forum {forum}")
    return shard_addresses(service.environment["SHARDS"])[row[0]]


async def page(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """An ASGI application with one answer."""
    global _pool
    if scope["type"] != "http":
        return
    if _pool is None:
        _pool = AsyncConnectionPool(
            os.environ["REFERENCE_ADDRESS"], kwargs={"autocommit": True}, min_size=1, max_size=4, open=False
        )
        await _pool.open()
    async with _pool.connection() as connection:
        cursor = await connection.execute(PAGE_SQL, [int(os.environ["REFERENCE_THREAD"])], prepare=True)
        rows = await cursor.fetchall()
    body = orjson.dumps(
        {"items": [[str(value) if index == 2 else value for index, value in enumerate(row)] for row in rows]}
    )
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
