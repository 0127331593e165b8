"""The JSON interface put together: routers, parser, errors, and the description of it all."""

from typing import Any

import orjson
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.parser import Parser
from ninja.renderers import BaseRenderer

from forum_backend.api import accounts, doctor, forums, move_limits, moves, plans, posts, threads
from forum_backend.api.problems import problem_of_exception
from forum_backend.api.schemas import Problem

DESCRIPTION = """
Ids are strings, times RFC 3339 in UTC. Lists are pages: pass `next` or `previous` as `cursor`.
Errors are `application/problem+json` (RFC 9457). Sign in with `Authorization: Bearer` and a token of `/auth/token`.
A `503` names when to try again in `Retry-After`; with an `Idempotency-Key`, trying again never takes effect twice.
"""


class JsonParser(Parser):
    """Bodies by orjson: strict UTF-8, bounded depth."""

    def parse_body(self, request: HttpRequest) -> Any:
        return orjson.loads(request.body)


class JsonRenderer(BaseRenderer):
    """Answers that an endpoint gives as plain values."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return orjson.dumps(data, default=str)


def make_api() -> NinjaAPI:
    """The interface with all its routers. Its own pages are ours: ninja's are synchronous views."""
    api = NinjaAPI(
        title="Forum",
        version="1",
        description=DESCRIPTION,
        parser=JsonParser(),
        renderer=JsonRenderer(),
        openapi_url=None,
        docs_url=None,
    )
    for kind in (Exception, Http404, HttpError, ValidationError):  # those that ninja has answers of its own for
        api.add_exception_handler(kind, on_error)
    for module in (accounts, forums, threads, posts, moves, plans, doctor, move_limits):
        api.add_router("", module.router)
    return api


def on_error(request: HttpRequest, error: Exception | type[Exception]) -> HttpResponse:
    """The problem that an error stands for; what nobody expected is the handler's to log."""
    answer = problem_of_exception(error) if isinstance(error, Exception) else None
    if answer is None:
        raise error
    return answer


api = make_api()


async def openapi(request: HttpRequest) -> HttpResponse:
    """The description for machines."""
    body = orjson.dumps(described(), default=str, option=orjson.OPT_NON_STR_KEYS)
    return HttpResponse(body, content_type="application/json")


def described() -> dict[str, Any]:
    """The OpenAPI description, with the one form that all errors have."""
    schema = dict(api.get_openapi_schema(path_prefix="/api/v1/"))
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = {
                "description": "A problem",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
    schema["components"]["schemas"]["Problem"] = Problem.model_json_schema()
    return schema


async def docs(request: HttpRequest) -> HttpResponse:
    """The description for people. Its scripts and styles come with the package: it works without the internet."""
    settings = {"url": "/api/v1/openapi.json", "layout": "BaseLayout", "deepLinking": True}
    context = {"swagger_settings": orjson.dumps(settings).decode(), "api": api, "add_csrf": False}
    return render(request, "ninja/swagger.html", context)
