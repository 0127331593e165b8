"""An ASGI application with the websockets and nothing else."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forum_backend.settings")
django.setup()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from forum_backend.realtime.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter({"websocket": URLRouter(websocket_urlpatterns)})
