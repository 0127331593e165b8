"""Errors as RFC 9457 problems: the one table from an error of ours to an HTTP status."""

import re
from typing import Any

import orjson
from django.db import OperationalError
from django.http import Http404, HttpResponse
from ninja.errors import AuthenticationError, HttpError
from ninja.errors import ValidationError as RequestInvalid

from forum_backend.domain import errors

CONTENT_TYPE = "application/problem+json"

STATUS: dict[type[Exception], int] = {
    errors.Invalid: 422,
    errors.NotAuthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooManyRequests: 429,
    errors.Unavailable: 503,
    errors.RoutingError: 500,
    errors.ForumError: 500,
}
TITLES = {400: "The request cannot be read", 404: "Not found", 405: "This method is not known here"}
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


def status_of(error: errors.ForumError) -> int:
    """The HTTP status of the nearest of an error's classes that has one."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def type_of(error: Exception) -> str:
    """What kind of problem it is, for programs: ``urn:forum:problem:thread-closed`` and the like."""
    return "urn:forum:problem:" + _WORD.sub("-", type(error).__name__).lower()


def problem(*, status: int, title: str, detail: str, type: str = "about:blank", **members: Any) -> HttpResponse:
    """An answer that says what went wrong, in the standard's form."""
    content = {"type": type, "title": title, "status": status, "detail": detail, **members}
    return HttpResponse(orjson.dumps(content), status=status, content_type=CONTENT_TYPE)


def problem_of(error: errors.ForumError) -> HttpResponse:
    """The answer to an error of ours. Mistakes of our own code (5xx but 503) say nothing of the inside."""
    status = status_of(error)
    if status == 500:
        return unexpected()
    members: dict[str, Any] = {}
    if isinstance(error, errors.Invalid) and error.fields:
        members["fields"] = error.fields
    if isinstance(error, errors.ShardUnavailable):
        members["shard"] = error.shard
    answer = problem(status=status, title=error.title, detail=error.detail, type=type_of(error), **members)
    if isinstance(error, (errors.Unavailable, errors.TooManyRequests)):
        answer["Retry-After"] = str(error.retry_after_s)
    if status == 401:
        answer["WWW-Authenticate"] = 'Bearer realm="forum"'
    return answer


def problem_of_exception(error: Exception) -> HttpResponse | None:
    """The answer to any error that has one; None for what nobody expected."""
    if isinstance(error, errors.ForumError):
        return problem_of(error)
    if isinstance(error, RequestInvalid):
        return problem_of(errors.Invalid(fields=_fields(error.errors)))
    if isinstance(error, AuthenticationError):
        return problem_of(errors.NotAuthenticated("Send Authorization: Bearer with a token"))
    if isinstance(error, HttpError):
        return of_status(error.status_code, detail=error.message)
    if isinstance(error, Http404):
        return of_status(404, detail="There is nothing at this address")
    if isinstance(error, OperationalError):
        return problem_of(errors.Unavailable("A database took too long"))
    return None


def of_status(status: int, *, detail: str = "") -> HttpResponse:
    """A problem of which only the status is known."""
    title = TITLES.get(status, "The request failed")
    return problem(status=status, title=title, detail=detail or title)


def unexpected() -> HttpResponse:
    """The answer to what should not have happened; the log has the rest."""
    return problem(status=500, title="Something went wrong", detail="The error was logged")


def _fields(found: list[dict[str, Any]]) -> dict[str, str]:
    """``fields`` of a validation error: names as the client knows them, without the values that were sent."""
    return {_name(error.get("loc", ())): str(error.get("msg", "not valid")) for error in found[:50]}


def _name(place: Any) -> str:
    where, *rest = [str(part) for part in place] or ["request"]
    if where == "body":
        rest = rest[1:]  # the endpoint's own name for the body
    return ".".join(rest)[:100] or where
