"""Moves and shards over HTTP: for staff, with problems for errors."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from asgiref.sync import sync_to_async
from django.utils import timezone

from forum_backend.api.handler import SlimHandler
from forum_backend.data.control.moves.models import Move
from forum_backend.services.accounts import create_token
from tests import factories
from tests.integration.moves.driving import drive_to_end, populated


def token_of(*, is_staff: bool) -> str:
    return create_token(user=factories.make_user(is_staff=is_staff), now=timezone.now())


@asynccontextmanager
async def client(*, is_staff: bool | None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API in this process; ``is_staff`` None: without a token."""
    headers = {}
    if is_staff is not None:
        headers["Authorization"] = f"Bearer {await sync_to_async(token_of)(is_staff=is_staff)}"
    transport: Any = httpx.ASGITransport(app=SlimHandler("forum_backend.api.urls"))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1", headers=headers) as http:
        yield http


async def test_staff_asks_for_a_move_and_follows_it() -> None:
    place = await sync_to_async(populated)()
    async with client(is_staff=True) as http:
        asked = {"forum": str(place.forum), "target": "shard_01"}
        once = {"Idempotency-Key": "once"}
        answer = await http.post("/moves", json=asked, headers=once)
        assert answer.status_code == 202
        planned = answer.json()
        assert planned["state"] == "planned"
        assert planned["forum"] == str(place.forum)
        assert (await http.post("/moves", json=asked, headers=once)).json()["id"] == planned["id"]
        assert (await http.post("/moves", json={**asked, "target": "shard_02"}, headers=once)).status_code == 422
        refused = await http.post("/moves", json=asked)
        assert refused.status_code == 409
        assert refused.headers["content-type"].startswith("application/problem+json")
        assert planned["id"] in [m["id"] for m in (await http.get("/moves?running=true&limit=100")).json()["items"]]
        await sync_to_async(drive_to_end)(await Move.objects.aget(pk=planned["id"]))
        done = (await http.get(f"/moves/{planned['id']}")).json()
        assert (done["state"], done["source"], done["target"]) == ("cleaned", "shard_00", "shard_01")
        assert done["window_ms"] > 0
        assert done["rows_done"] == done["rows_total"] == 11


async def test_the_list_of_moves_is_in_pages() -> None:
    place = await sync_to_async(populated)()
    for target in ("shard_01", "shard_02", "shard_00"):
        await sync_to_async(lambda target=target: drive_to_end(place.plan(target)))()
    async with client(is_staff=True) as http:
        first = (await http.get("/moves?limit=2")).json()
        second = (await http.get("/moves", params={"limit": 2, "cursor": first["next"]})).json()
        ids = [int(move["id"]) for move in first["items"] + second["items"]]
        assert ids == sorted(ids, reverse=True)
        assert len(set(ids)) == len(ids) >= 3
        back = (await http.get("/moves", params={"limit": 2, "cursor": second["previous"]})).json()
        assert back["items"] == first["items"]
        assert (await http.get("/moves?limit=101")).status_code == 422


async def test_only_staff_may_look() -> None:
    for is_staff, status in ((None, 401), (False, 403)):
        async with client(is_staff=is_staff) as http:
            for path in ("/shards", "/moves", "/moves/1"):
                assert (await http.get(path)).status_code == status
            asked = {"forum": "1", "target": "shard_01"}
            assert (await http.post("/moves", json=asked)).status_code == status


async def test_a_shard_that_died_a_moment_ago_is_listed_as_such(kill: Callable[[str], None]) -> None:
    async with client(is_staff=True) as http:
        for dead in ([], ["shard_02"]):
            for shard in dead:
                await sync_to_async(kill)(shard)
            shards = (await http.get("/shards")).json()["items"]
            assert [shard["name"] for shard in shards if shard["is_down"]] == dead


async def test_what_is_wrong_is_said() -> None:
    async with client(is_staff=True) as http:
        shards = (await http.get("/shards")).json()["items"]
        assert [shard["name"] for shard in shards] == ["shard_00", "shard_01", "shard_02"]
        assert set(shards[0]) >= {"name", "state", "forums_count", "rows_count", "bytes"}
        for path in ("/moves/0", "/moves/x", "/moves/99999999999999999999"):
            assert (await http.get(path)).status_code == 404
        for body, status in (
            ({"forum": "no-such", "target": "shard_01"}, 404),
            ({"forum": "8000000", "target": "shard_01"}, 404),
            ({"forum": "1"}, 422),
            ({"forum": "1", "target": "shard_01", "more": 1}, 422),
            ({"forum": "a\u0000b", "target": "shard_01"}, 422),
        ):
            assert (await http.post("/moves", json=body)).status_code == status, body
