"""The page lane: Django's ordinary synchronous stack as an ASGI application, one crossing into a thread a request.

The thread keeps its connections, so ``request_started`` and ``request_finished``, which would close them, are never
sent. Bodies are read, and files materialised, within a bound.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from forum_backend.domain.errors import Unavailable
from forum_backend.services.crossing import in_service_thread
from forum_backend.services.gates import GateClosed
from forum_backend.web.refusals import too_large_page, unavailable_page

MAX_ANSWER_BYTES = 16 * 1024 * 1024

type Receive = Callable[[], Awaitable[dict[str, Any]]]
type Send = Callable[[dict[str, Any]], Awaitable[None]]


class BodyTooLarge(Exception):
    """The request's body is longer than this service reads."""


class ClientGone(Exception):
    """The client left before its request was complete."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as bytes, ready to be sent from the event loop."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class PageRequest(ASGIRequest):
    """A request of the page lane."""

    gate_closed = False


class PageStack(BaseHandler):
    """Django's middleware and views, all synchronous, called in one service thread."""

    def __init__(self) -> None:
        super().__init__()
        self.load_middleware(is_async=False)

    def answer(self, scope: dict[str, Any], body: bytes) -> Answer:
        """The whole answer to a request, its content included. ``GateClosed`` if it is to be asked for again."""
        set_script_prefix(get_script_prefix(scope))
        try:
            request = PageRequest(scope, BytesIO(body))
        except UnicodeDecodeError:
            return materialised(HttpResponse("The address is not valid", status=400, content_type="text/plain"))
        response = self.get_response(request)
        try:
            if request.gate_closed:
                raise GateClosed
            return materialised(response)
        finally:
            # Not response.close(): that sends request_finished, and with it away go the thread's connections.
            for closer in response._resource_closers:  # type: ignore[attr-defined]
                closer()

    def process_exception_by_middleware(self, exception: Exception, request: HttpRequest) -> HttpResponse:
        """Nothing that a view raises gets past Django's middleware: a closed gate is kept for ``answer``."""
        if isinstance(exception, GateClosed) and isinstance(request, PageRequest):
            request.gate_closed = True
            return HttpResponse()  # for the middleware alone
        return super().process_exception_by_middleware(exception, request)


class PageLane:
    """The ASGI application of everything that is neither API nor websocket."""

    def __init__(self) -> None:
        self._stack = PageStack()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            body = await read_body(scope, receive, limit=settings.MAX_REQUEST_BYTES)
            answer = await in_service_thread(self._stack.answer, scope, body)
        except ClientGone:
            return
        except BodyTooLarge:
            answer = materialised(too_large_page())
        except Unavailable as error:
            answer = materialised(unavailable_page(error))
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})


async def read_body(scope: dict[str, Any], receive: Receive, *, limit: int) -> bytes:
    """The request's body, read no further than the limit."""
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if not announced.isdigit() or int(announced[:19]) > limit:
        raise BodyTooLarge
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > limit:
            raise BodyTooLarge
        if not message.get("more_body", False):
            return bytes(body)


def materialised(response: HttpResponseBase) -> Answer:
    """A response's bytes; those of a file are read here, in the thread, up to ``MAX_ANSWER_BYTES``."""
    content = _joined(response) if isinstance(response, StreamingHttpResponse) else getattr(response, "content", b"")
    headers = [(name.encode("ascii"), value.encode("latin1")) for name, value in response.items()]
    headers += [(b"Set-Cookie", cookie.OutputString().encode("ascii")) for cookie in response.cookies.values()]
    if not response.has_header("Content-Length"):
        headers.append((b"Content-Length", str(len(content)).encode()))
    return Answer(response.status_code, headers, content)


def _joined(response: StreamingHttpResponse) -> bytes:
    content = bytearray()
    pieces: Iterable[bytes] = iter(response)
    for piece in pieces:
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            raise ValueError(f"a streamed answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(content)
