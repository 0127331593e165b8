"""Addresses of the websockets."""

from django.urls import path

from forum_backend.realtime.sockets import ForumSocket, StatusSocket

websocket_urlpatterns = [
    path("ws/forums/<str:forum>", ForumSocket.as_asgi()),
    path("ws/status", StatusSocket.as_asgi()),
]
