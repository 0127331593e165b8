"""Answers as JSON: bytes made once, with an ETag where a client may ask whether anything has changed."""

from collections.abc import Callable
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse

from forum_backend.queries.fresh_pages import etag_of
from forum_backend.queries.profiles import with_authors

JSON = "application/json"


def answer(content: Any, *, status: int = 200) -> HttpResponse:
    """A value as JSON; never kept by caches."""
    response = HttpResponse(orjson.dumps(content), status=status, content_type=JSON)
    response["Cache-Control"] = "no-store"
    return response


def nothing() -> HttpResponse:
    """Done, and nothing to say."""
    return HttpResponse(status=204)


def tagged(request: HttpRequest, content: Any) -> HttpResponse:
    """A value as JSON with an ETag; 304 without content for a client that has it already."""
    body = orjson.dumps(content)
    return tagged_body(request, body, etag_of(body))


def tagged_body(request: HttpRequest, body: bytes, tag: str) -> HttpResponse:
    """As ``tagged``, of JSON that was made before."""
    if named_by(request.META.get("HTTP_IF_NONE_MATCH", ""), tag):
        response = HttpResponse(status=304)
        del response["Content-Type"]
    else:
        response = HttpResponse(body, content_type=JSON)
    response["ETag"] = tag
    response["Cache-Control"] = "no-cache"
    response["Vary"] = "Authorization"
    return response


def named_by(if_none_match: str, tag: str) -> bool:
    """Whether an If-None-Match header names this ETag."""
    return if_none_match.strip() == "*" or tag in (one.strip().removeprefix("W/") for one in if_none_match.split(","))


def authored(service: Callable[..., Any], /, *, card: str = "author", **request: Any) -> Any:
    """Call a service and give its shape (and the post inside it) the author's card; for a service thread."""
    shape = service(**request)
    with_authors([shape, *([shape["post"]] if "post" in shape else [])], key=card)
    return shape
