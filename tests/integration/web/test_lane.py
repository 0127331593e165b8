"""The page lane in a real process, and pages while a shard is away."""

import time
from collections.abc import Iterator

import httpx
import pytest

from forum_backend.embedded import EmbeddedServers
from tests import factories, processes


@pytest.fixture(scope="module")
def web() -> Iterator[httpx.Client]:
    """A web process of this service on a port of its own."""
    with (
        processes.web("forum_backend.asgi:application") as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
    ):
        yield client


def test_pages_and_files_come_through_the_lane(web: httpx.Client) -> None:
    page = web.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    style = web.get("/static/web/forum.css")
    assert style.headers["content-type"].startswith("text/css")
    assert len(style.content) == int(style.headers["content-length"])
    assert web.get("/static/web/thread.js").headers["content-type"].startswith("text/javascript")
    assert web.head("/").content == b""
    assert web.get("/u/nobody").headers["location"] == "/u/nobody/"


def test_a_body_beyond_the_bound_is_refused(web: httpx.Client) -> None:
    announced = web.post("/sign-in", content=b"x" * 300_000)
    assert announced.status_code == 413
    assert "longer than the service takes" in announced.text
    unannounced = web.post("/sign-in", content=(b"x" * 10_000 for _ in range(40)))
    assert unannounced.status_code == 413


def test_a_process_keeps_its_connections(web: httpx.Client) -> None:
    from django.db import connection

    forum = factories.make_forum()

    def opened() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")
            return int(cursor.fetchone()[0])

    for _ in range(20):
        web.get(f"/f/{forum.slug}/")
    before = opened()
    for _ in range(60):
        assert web.get(f"/f/{forum.slug}/").status_code == 200
    assert opened() - before < 10, "a connection a request would be 60"


def test_a_dead_shard_is_named_and_the_others_work(web: httpx.Client, servers: EmbeddedServers) -> None:
    dead, alive = factories.make_forum("shard_01"), factories.make_forum("shard_00")
    thread = factories.make_thread(dead.forum_id)
    servers.stop_server("shard_01")
    try:
        for path in (f"/f/{dead.slug}/", f"/t/{thread.pk}/"):
            answer = web.get(path)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "does not answer right now" in answer.text
        assert web.get(f"/f/{alive.slug}/").status_code == 200
        front = web.get("/")
        assert front.status_code == 200
        assert "Some forums cannot be shown right now" in front.text
        assert "shard_01" in front.text
    finally:
        servers.start_server("shard_01")
    deadline = time.monotonic() + 20
    while web.get(f"/f/{dead.slug}/").status_code != 200:
        assert time.monotonic() < deadline, "the forum did not come back"
