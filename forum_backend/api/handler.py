"""The slim ASGI handler of the API lane: Django's requests, addresses and responses, and nothing around them.

Django's own handler gives each request a thread, signals, a watcher for disconnects and a middleware chain: 460 µs.
This one has none of them, so it closes no connections (the service threads keep theirs), cancels nothing when a client
leaves, and may host coroutine views only.
"""

import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.base import BaseHandler
from django.http import Http404, HttpResponse
from django.urls import get_resolver

from forum_backend.api.measures import measure
from forum_backend.api.problems import CONTENT_TYPE, of_status, problem, problem_of_exception, unexpected
from forum_backend.api.shortcuts import confirmed, send_page, shortcut_of

logger = logging.getLogger(__name__)

type Scope = dict[str, Any]
type Receive = Callable[[], Awaitable[Mapping[str, Any]]]
type Send = Callable[[Mapping[str, Any]], Awaitable[None]]

ADDRESSES_KEPT, MAX_KEPT_LENGTH = 4_096, 200
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ClientGone(Exception):
    """The client left before its request had arrived."""


class BodyTooLarge(Exception):
    """The request's body is longer than ``MAX_REQUEST_BYTES``."""


class SlimHandler(ASGIHandler):
    """Answers HTTP requests with the coroutine views of one URL configuration."""

    def __init__(self, urlconf: str) -> None:
        BaseHandler.__init__(self)  # not ASGIHandler's: no middleware
        # Routes are tried one after the other; an address that was asked for lately is found at once.
        self._resolve = get_resolver(urlconf).resolve
        self._recent = lru_cache(ADDRESSES_KEPT)(self._resolve)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        shortcut = shortcut_of(scope)
        page = await confirmed(shortcut) if shortcut is not None else None
        if shortcut is not None and page is not None:
            status = await send_page(page, scope, send)
            measure(method="GET", route=shortcut.route, status=status, seconds=time.perf_counter() - began)
            return
        try:
            body = await read_body(scope, receive, limit=settings.MAX_REQUEST_BYTES)
        except ClientGone:
            return
        except BodyTooLarge:
            route, response = "(too large)", _too_large()
        else:
            route, response = await self._answer(scope, body)
        await send_response(response, send, without_body=scope["method"] == "HEAD")
        method = scope["method"] if scope["method"] in METHODS else "(other)"
        measure(method=method, route=route, status=response.status_code, seconds=time.perf_counter() - began)

    async def _answer(self, scope: Scope, body: bytes) -> tuple[str, HttpResponse]:
        """The route's template and the response; every error becomes a response here."""
        route = "(none)"
        try:
            request = _request(scope, body)
            path = request.path_info
            match = (self._recent if len(path) <= MAX_KEPT_LENGTH else self._resolve)(path)
            route = f"/{match.route}"
            request.resolver_match = match
            found = match.func(request, *match.args, **match.kwargs)
            response: HttpResponse = await found if inspect.isawaitable(found) else found
        except Exception as error:  # the edge: nothing passes it
            return route, problem_of_exception(error) or _unexpected(error, route)
        return route, _as_problem(response) if response.status_code >= 400 else response


def _request(scope: Scope, body: bytes) -> ASGIRequest:
    """A request with its body read. HEAD is answered like GET, and its body left out at the end."""
    if scope["method"] == "HEAD":
        scope = {**scope, "method": "GET"}
    try:
        request = ASGIRequest(scope, BytesIO())
    except UnicodeDecodeError as error:
        raise Http404 from error
    request._body = body
    return request


def _as_problem(response: HttpResponse) -> HttpResponse:
    """What Django or ninja refused in their own words, in the standard's form; ours pass as they are."""
    if response["Content-Type"].startswith((CONTENT_TYPE, "application/json")):
        return response
    answer = of_status(response.status_code)
    if "Allow" in response:
        answer["Allow"] = response["Allow"]
    return answer


def _unexpected(error: Exception, route: str) -> HttpResponse:
    logger.error("An unexpected error was answered with 500", exc_info=error, extra={"action": "api", "route": route})
    return unexpected()


def _too_large() -> HttpResponse:
    limit = settings.MAX_REQUEST_BYTES
    return problem(status=413, title="The request is too large", detail=f"At most {limit} bytes are read")


async def read_body(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """The request's body, read no further than the limit."""
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:19]) > limit):
            raise BodyTooLarge
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        if len(body) + len(part) > limit:
            raise BodyTooLarge
        body = body + part if body else part
        if not message.get("more_body", False):
            return body


async def send_response(response: HttpResponse, send: Send, *, without_body: bool) -> None:
    """One start and one body message; cookies are none of this lane's business."""
    content = response.content
    headers = [(name.lower().encode("latin1"), value.encode("latin1")) for name, value in response.items()]
    if response.status_code not in (204, 304):
        headers.append((b"content-length", str(len(content)).encode()))
    headers.append((b"x-content-type-options", b"nosniff"))
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if without_body else content})
