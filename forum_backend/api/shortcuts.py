"""The shortest way to a page of posts: an address that was answered before leads straight to its kept page.

No request object, no routes, no parameters to parse: what an address means was found out by the endpoint, the first
time. The shard is asked all the same whether the page is still the page (``queries.fresh_pages``). All of this runs on
the event loop, so it needs no lock.
"""

from dataclasses import dataclass
from typing import Any

import psycopg
from cachetools import LRUCache
from django.core.handlers.asgi import ASGIRequest

from forum_backend.api.answers import named_by
from forum_backend.domain.errors import ForumError
from forum_backend.queries.fresh_pages import KeptPage, PageKey, fresh_page

ADDRESSES_KEPT = 20_000
MAX_ADDRESS_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Shortcut:
    """What an address asks for, and its route's template."""

    key: PageKey
    route: str


_shortcuts: LRUCache[tuple[str, bytes], Shortcut] = LRUCache(ADDRESSES_KEPT)


def remember(request: ASGIRequest, key: PageKey) -> None:
    """The address of this request asks for this page."""
    path, query = request.scope["path"], request.scope["query_string"]
    if len(path) + len(query) <= MAX_ADDRESS_LENGTH and request.resolver_match is not None:
        _shortcuts[path, query] = Shortcut(key, f"/{request.resolver_match.route}")


def shortcut_of(scope: dict[str, Any]) -> Shortcut | None:
    """What a GET asks for, if its address was answered before."""
    return _shortcuts.get((scope["path"], scope["query_string"])) if scope["method"] == "GET" else None


async def confirmed(shortcut: Shortcut) -> KeptPage | None:
    """The page, confirmed now; None where only the endpoint can answer, errors included."""
    try:
        return await fresh_page(shortcut.key)
    except (ForumError, psycopg.Error):  # the endpoint runs into it again, and answers for it
        return None


async def send_page(page: KeptPage, scope: dict[str, Any], send: Any) -> int:
    """Answer with a kept page, as the endpoint would; returns the status."""
    wanted = next((value for name, value in scope["headers"] if name == b"if-none-match"), b"")
    is_known = bool(wanted) and named_by(wanted.decode("latin1"), page.etag)
    status, body = (304, b"") if is_known else (200, page.body)
    headers = [
        (b"etag", page.etag.encode()),
        (b"cache-control", b"no-cache"),
        (b"vary", b"Authorization"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if not is_known:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return status
