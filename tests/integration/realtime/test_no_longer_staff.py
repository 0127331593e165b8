"""`/ws/status` stays open for hours: it closes when the account is no longer staff, or the token is revoked."""

from asyncio import to_thread as aside
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter
from django.contrib.sessions.models import Session
from django.utils import timezone

from forum_backend.data.control.accounts.models import User
from forum_backend.domain.errors import Unavailable
from forum_backend.realtime import sockets
from forum_backend.realtime.hub import hub
from forum_backend.realtime.routing import websocket_urlpatterns
from forum_backend.services import accounts
from forum_backend.services.accounts import create_token, revoke_token
from tests.factories import make_user
from tests.integration.realtime.test_status_socket import session_of
from tests.processes import eventually

LIMIT_S = 20


@pytest.fixture(autouse=True)
def _looked_at_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is anything remembered of a token."""
    monkeypatch.setattr(sockets, "STAFF_EVERY_S", 0.02)
    monkeypatch.setattr(accounts, "known_account", lambda _token: None)


class Follower(ApplicationCommunicator):
    """A client of `/ws/status` in this process."""

    def __init__(self, **headers: str) -> None:
        given = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "websocket", "path": "/ws/status", "query_string": b"", "headers": given, "subprotocols": []}
        super().__init__(URLRouter(websocket_urlpatterns), scope)

    async def message(self) -> dict[str, Any]:
        message: dict[str, Any] = await self.receive_output(timeout=LIMIT_S)
        return message

    async def begin(self) -> None:
        """Up to the first frame."""
        await self.send_input({"type": "websocket.connect"})
        assert (await self.message())["type"] == "websocket.accept"
        assert orjson.loads((await self.message())["text"])["type"] == "snapshot"

    async def end(self) -> tuple[str, int]:
        """The code in the last frame, and that of the end."""
        error = orjson.loads((await self.message())["text"])["code"]
        return error, (await self.message())["code"]


@asynccontextmanager
async def following(**headers: str) -> AsyncIterator[Follower]:
    follower = Follower(**headers)
    try:
        await follower.begin()
        yield follower
    finally:
        await follower.send_input({"type": "websocket.disconnect", "code": 1000})
        await follower.wait(timeout=LIMIT_S)
        await hub.stop()


async def test_a_token_that_is_revoked() -> None:
    user = await aside(make_user, is_staff=True)
    token = await aside(create_token, user=user, now=timezone.now())
    async with following(authorization=f"Bearer {token}") as follower:
        await aside(revoke_token, token=token)
        assert await follower.end() == ("not_authenticated", 4401)


@pytest.mark.parametrize(
    ("changes", "end"),
    [({"is_staff": False}, ("forbidden", 4003)), ({"is_active": False}, ("not_authenticated", 4401))],
)
async def test_an_account_that_is_no_longer_staff(changes: dict[str, bool], end: tuple[str, int]) -> None:
    user = await aside(make_user, is_staff=True)
    token = await aside(create_token, user=user, now=timezone.now())
    async with following(authorization=f"Bearer {token}") as follower:
        await aside(User.objects.filter(pk=user.pk).update, **changes)
        assert await follower.end() == end


async def test_a_session_that_is_over() -> None:
    cookie = await aside(session_of, is_staff=True)
    async with following(cookie=cookie, origin="http://localhost") as follower:
        await aside(Session.objects.filter(pk=cookie.partition("=")[2]).delete)
        assert await follower.end() == ("not_authenticated", 4401)


async def test_who_cannot_be_asked_about_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    user = await aside(make_user, is_staff=True)
    token = await aside(create_token, user=user, now=timezone.now())
    asked = 0

    def away(_scope: dict[str, Any]) -> Any:
        nonlocal asked
        asked += 1
        raise Unavailable

    async with following(authorization=f"Bearer {token}") as follower:
        monkeypatch.setattr(sockets, "account_at", away)
        await aside(eventually, lambda: asked > 3)
        assert await follower.receive_nothing()
