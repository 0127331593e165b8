"""Reading every row of a forum on request: what it finds, what it says when it cannot, and one at a time."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command

from forum_backend.domain.errors import ShardUnavailable, Unavailable
from forum_backend.services import verification
from forum_backend.services.forum_rows import Digest, digest
from forum_backend.services.ownership import Limits, connected
from forum_backend.services.verification import verify_forum
from routers.limited import LimitedConnection
from tests.integration.moves.driving import Populated, content, end_movers_connections, populated
from tests.integration.moves.test_api import client


@contextmanager
def cut(shard: str, limits: Limits) -> Iterator[LimitedConnection]:
    """The server goes away after the connection was made."""
    with connected(shard, limits) as connection:
        end_movers_connections(shard)
        yield connection


def test_a_connection_that_breaks_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    place = populated()
    monkeypatch.setattr(verification, "connected", cut)
    with pytest.raises(ShardUnavailable):
        verify_forum(place.forum)
    with pytest.raises(CommandError, match=r"does not answer \(shard_00\)"):
        call_command("moves", "verify", str(place.forum))


def test_a_forum_that_takes_too_long_to_read_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    place = populated()
    monkeypatch.setattr(verification, "LIMITS", Limits(statement_ms=1))
    with pytest.raises(Unavailable, match="took longer than 1 ms"):
        verify_forum(place.forum)


def test_the_command_shows_what_is_there() -> None:
    place, out = populated(), StringIO()
    call_command("moves", "verify", str(place.forum), stdout=out)
    rows = sum(table.rows for table in content(place.forum).values())
    assert f"Forum {place.forum} on shard_00: {rows} rows" in out.getvalue()


class Held:
    """A reading that goes on until it is let go."""

    def __init__(self) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def digest(self, connection: psycopg.Connection, forum: int) -> dict[str, Digest]:
        self.has_begun.set()
        assert self.may_end.wait(20)
        return digest(connection, forum)


async def test_one_forum_at_a_time_is_read_over_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    place: Populated = await sync_to_async(populated)()
    held = Held()
    monkeypatch.setattr(verification, "digest", held.digest)
    path = f"/forums/{place.forum}/verify"
    async with client(is_staff=True) as http:
        reading: asyncio.Task[Any] = asyncio.create_task(http.post(path))
        await asyncio.to_thread(held.has_begun.wait, 20)
        try:
            refused = await http.post(path)
        finally:
            held.may_end.set()
        assert (refused.status_code, refused.json()["detail"].partition(";")[0]) == (
            503,
            "Another forum is being verified here",
        )
        assert (await reading).status_code == 200
        assert (await http.post(path)).json()["shard"] == "shard_00"
