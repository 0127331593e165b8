"""Errors as pages: one table from error to status, and the middleware that answers a view's error with it."""

import logging
from collections.abc import Callable
from urllib.parse import urlencode

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.loader import render_to_string

from forum_backend.domain import errors
from forum_backend.services.crossing import close_broken_connections
from routers.refusals import is_connection_lost

logger = logging.getLogger(__name__)

STATUSES: list[tuple[type[errors.ForumError], int]] = [
    (errors.Unavailable, 503),
    (errors.NotFound, 404),
    (errors.InvalidId, 404),
    (errors.Forbidden, 403),
    (errors.Conflict, 409),
    (errors.Invalid, 422),
]
HEADINGS = {
    403: "You may not do this",
    404: "There is nothing here",
    409: "This is not possible now",
    413: "That is too long",
    422: "Something in there is not right",
    503: "Back in a moment",
}


def error_page(status: int, detail: str, *, retry_after_s: int | None = None) -> HttpResponse:
    """A page that says what went wrong. It reads no database, so it works when they do not."""
    context = {"status": status, "heading": HEADINGS.get(status, "Something went wrong"), "detail": detail}
    page = HttpResponse(render_to_string("web/error.html", context), status=status)
    if retry_after_s is not None:
        page["Retry-After"] = str(retry_after_s)
        page["Cache-Control"] = "no-store"
    return page


def too_large_page() -> HttpResponse:
    return error_page(413, "This is longer than the service takes. Please shorten it, or split it in two.")


def unavailable_page(error: errors.Unavailable) -> HttpResponse:
    """What a reader is told while a forum moves, or its server is away."""
    if isinstance(error, errors.ShardUnavailable):
        detail = (
            f"The server that holds this forum ({error.shard}) does not answer right now. Nothing is lost, and forums "
            "on other servers work. Please try again in a few seconds."
        )
    elif isinstance(error, errors.ForumMoving):
        detail = "This forum is moving to another server. That takes a moment; please try again."
    else:
        detail = "The service is very busy. Please try again in a few seconds."
    return error_page(503, detail, retry_after_s=error.retry_after_s)


class RefusalMiddleware:
    """Turns the errors that this service raises on purpose into pages, wherever a view raised them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        if isinstance(error, (DatabaseError, InterfaceError)):
            close_broken_connections()
            if not is_connection_lost(error):
                return None
            logger.warning("A database does not answer", extra={"action": "page"})
            return unavailable_page(errors.Unavailable())
        return refusal_page(request, error) if isinstance(error, errors.ForumError) else None


def refusal_page(request: HttpRequest, error: errors.ForumError) -> HttpResponse | None:
    """The page of an error in the table; None for a mistake of the calling code, which is a 500."""
    if isinstance(error, errors.NotAuthenticated):
        return HttpResponseRedirect(f"/sign-in?{urlencode({'next': request.get_full_path()})}")
    if isinstance(error, errors.Unavailable):
        return unavailable_page(error)
    status = status_of(error)
    return None if status is None else error_page(status, error.detail)


def status_of(error: errors.ForumError) -> int | None:
    """The status that says what kind of refusal it is."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), None)
