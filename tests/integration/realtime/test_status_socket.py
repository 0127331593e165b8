"""`/ws/status`: for staff, by token or by the session of a page of ours."""

import uuid
from asyncio import to_thread as aside
from collections.abc import Iterator
from importlib import import_module

import pytest
from django.conf import settings
from django.contrib.auth import login
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from forum_backend.services.accounts import create_token
from forum_backend.services.status_events import record_status
from tests.factories import make_user
from tests.integration.realtime.follower import Follower, follow
from tests.processes import web


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with web("tests.integration.realtime.sockets_only:application") as port:
        yield port


def token_of(*, is_staff: bool) -> str:
    return create_token(user=make_user(is_staff=is_staff), now=timezone.now())


def session_of(*, is_staff: bool) -> str:
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore()
    login(request, make_user(is_staff=is_staff), backend=settings.AUTHENTICATION_BACKENDS[0])
    request.session.save()
    return f"{settings.SESSION_COOKIE_NAME}={request.session.session_key}"


def record() -> str:
    mark = uuid.uuid4().hex
    with transaction.atomic(using="default"):
        record_status(type="shard.measured", data={"mark": mark}, now=timezone.now())
    return mark


async def follows(follower: Follower) -> None:
    snapshot = await follower.frame()
    assert snapshot["type"] == "snapshot"
    assert {shard["name"] for shard in snapshot["data"]["shards"]} >= {"shard_00", "shard_01", "shard_02"}
    assert set(snapshot["data"]["moves"]) == {"running", "finished"}
    marks = [await aside(record) for _ in range(3)]
    events = [await follower.frame() for _ in range(3)]
    assert [event["data"]["mark"] for event in events] == marks
    assert [event["number"] for event in events] == list(range(snapshot["number"] + 1, snapshot["number"] + 4))


async def test_staff_follow_with_a_token(port: int) -> None:
    token = await aside(token_of, is_staff=True)
    async with follow(port, "/ws/status", additional_headers={"Authorization": f"Bearer {token}"}) as follower:
        await follows(follower)
    async with follow(port, "/ws/status", subprotocols=[f"bearer.{token}"]) as follower:
        await follows(follower)
        last = follower.frames[-1]["number"]
    async with follow(port, f"/ws/status?after={last - 3}", subprotocols=[f"bearer.{token}"]) as follower:
        assert await follower.until(last) == [last - 2, last - 1, last]


async def test_a_token_in_the_address_is_not_looked_at(port: int) -> None:
    """Addresses are written into logs, by proxies too."""
    token = await aside(token_of, is_staff=True)
    async with follow(port, f"/ws/status?token={token}") as follower:
        assert await follower.close_code() == 4401


async def test_staff_follow_with_a_session_of_our_pages(port: int) -> None:
    cookie = await aside(session_of, is_staff=True)
    ours = {"origin": f"http://127.0.0.1:{port}", "additional_headers": {"Cookie": cookie}}
    async with follow(port, "/ws/status", **ours) as follower:
        await follows(follower)
    for origin in ("https://elsewhere.example", None):
        async with follow(port, "/ws/status", **{**ours, "origin": origin}) as follower:
            assert await follower.close_code() == 4401


async def test_others_are_refused(port: int) -> None:
    token = await aside(token_of, is_staff=False)
    cookie = await aside(session_of, is_staff=False)
    origin = f"http://127.0.0.1:{port}"
    async with follow(port, "/ws/status", subprotocols=[f"bearer.{token}"]) as follower:
        assert await follower.close_code() == 4003
    async with follow(port, "/ws/status", origin=origin, additional_headers={"Cookie": cookie}) as follower:
        assert await follower.close_code() == 4003
    async with follow(port, "/ws/status", subprotocols=["bearer.wrong"]) as follower:
        assert await follower.close_code() == 4401
