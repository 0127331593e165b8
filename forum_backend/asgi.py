"""Wiring: one ASGI application with three lanes (API, websockets, pages) and what starts and stops with the process."""

import gc
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forum_backend.settings")

import django

django.setup()

from channels.routing import URLRouter  # noqa: E402  (from here on the apps are needed)
from django.conf import settings  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402

from forum_backend.api.handler import SlimHandler  # noqa: E402
from forum_backend.queries.async_pools import close_pools  # noqa: E402
from forum_backend.realtime.hub import hub  # noqa: E402
from forum_backend.realtime.routing import websocket_urlpatterns  # noqa: E402
from forum_backend.services.loads import read_flusher  # noqa: E402
from forum_backend.web.handler import PageLane  # noqa: E402

type Scope = dict[str, Any]
type Receive = Callable[[], Awaitable[dict[str, Any]]]
type Send = Callable[[Mapping[str, Any]], Awaitable[None]]

MACHINES = frozenset({"/healthz", "/readyz", "/metrics"})


class Application:
    """Sends each connection to its lane."""

    def __init__(self) -> None:
        if settings.SECRET_KEY in ("", settings.INSECURE_SECRET_KEY) and not settings.DEBUG:
            raise ImproperlyConfigured("Set SECRET_KEY to a long random text: sessions are signed with it")
        self._api = SlimHandler("forum_backend.api.urls")
        self._pages = PageLane()
        self._websockets: Any = URLRouter(websocket_urlpatterns)
        gc.collect()
        gc.set_threshold(20_000, 20, 20)  # a request leaves hardly a cycle: looking for them took a tenth of its time
        gc.freeze()  # what is loaded now stays: later collections need not look at it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            path = scope["path"]
            lane = self._api if path.startswith("/api/") or path in MACHINES else self._pages
            await lane(scope, receive, send)
        elif kind == "websocket":
            await self._websockets(scope, receive, send)
        elif kind == "lifespan":
            await _live(receive, send)
        else:
            raise ValueError(f"no lane for {kind}")


async def _live(receive: Receive, send: Send) -> None:
    """The lifespan protocol: what starts before the first request, and stops after the last."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await hub.start()
            read_flusher.start()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            read_flusher.stop()
            await hub.stop()
            await close_pools()
            await send({"type": "lifespan.shutdown.complete"})
            return


application = Application()
