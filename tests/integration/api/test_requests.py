"""Requests of all kinds: too large, too deep, not JSON, to nowhere; and the pages for machines and for readers."""

import socket
from collections.abc import Callable

import httpx
import pytest
from django.conf import settings

from forum_backend.api import schemas
from tests.integration.api.asking import new_forum, new_post, new_thread, problem

SignIn = Callable[..., httpx.Client]


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"",
        b"nonsense",
        b'{"slug": "\xff"}',
        b'{"slug": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 5_000,
        b"null",
        b"[]",
        b"5",
    ],
)
def test_bodies_that_are_no_request(sign_in: SignIn, content: bytes) -> None:
    answer = sign_in().post("/forums", content=content)
    problem(answer, answer.status_code)
    assert answer.status_code in {400, 422}


def test_bodies_are_read_up_to_the_limit(sign_in: SignIn) -> None:
    ada = sign_in()
    problem(ada.post("/forums", content=b"x" * (settings.MAX_REQUEST_BYTES + 1)), 413)

    def pieces() -> object:
        for _number in range(settings.MAX_REQUEST_BYTES // 1000 + 2):
            yield b"x" * 1000

    problem(ada.post("/forums", content=pieces()), 413)


def test_a_body_that_never_ends_is_not_read(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(b"POST /api/v1/forums HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n")
        assert b" 413 " in link.recv(1000)


def test_nowhere_and_wrong_methods_are_problems(client: httpx.Client) -> None:
    problem(client.get("/nowhere"), 404)
    problem(client.get("/"), 404)
    problem(client.get("/forums/"), 404)
    refused = client.request("PURGE", "/forums")
    problem(refused, 405)
    answer = client.put("/forums")
    problem(answer, 405)
    assert {"GET", "POST"} == set(answer.headers["allow"].replace(" ", "").split(","))


def test_head_is_get_without_the_body(sign_in: SignIn, client: httpx.Client) -> None:
    path = f"/forums/{new_forum(sign_in())['id']}"
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == get.headers["etag"]
    assert head.headers["content-length"] == get.headers["content-length"]


def test_answers_are_as_described(sign_in: SignIn, client: httpx.Client) -> None:
    ada = sign_in()
    forum = new_forum(ada)
    thread = new_thread(ada, forum)
    new_post(ada, thread, parent=thread["post"]["id"])
    described = {
        f"/forums/{forum['id']}": schemas.Forum,
        "/forums": schemas.Forums,
        f"/forums/{forum['id']}/threads": schemas.Threads,
        f"/threads/{thread['id']}": schemas.Thread,
        f"/threads/{thread['id']}/posts": schemas.Posts,
        f"/posts/{thread['post']['id']}": schemas.Post,
        f"/users/{ada.user.username}": schemas.Profile,
        "/me": schemas.Me,
    }
    for path, schema in described.items():
        content = ada.get(path).json()
        assert content.keys() == schema.model_validate(content).model_dump(exclude_unset=True).keys(), path


def test_every_operation_is_described_and_answers_in_json_to_nonsense(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.")
    assert {"/api/v1/forums", "/api/v1/posts/{post}/vote", "/api/v1/moves"} <= described["paths"].keys()
    for path, operations in described["paths"].items():
        nonsense = path.removeprefix("/api/v1").replace("{", "").replace("}", "~")
        for method in operations:
            answer = client.request(method, nonsense, json={"no": "such field"})
            assert answer.status_code < 500, (method, path)
            assert "json" in answer.headers["content-type"]


def test_the_docs_need_no_other_server(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text.replace("/>", "")
    root = str(client.base_url).removesuffix("/api/v1/")
    for part in page.text.split('"'):
        if part.startswith("/static/"):
            assert httpx.get(root + part).status_code == 200, part


def test_pages_for_machines(port: int) -> None:
    root = f"http://127.0.0.1:{port}"
    assert httpx.get(f"{root}/healthz").json() == {"status": "ok"}
    ready = httpx.get(f"{root}/readyz")
    assert ready.status_code == 200
    assert ready.json()["databases"].keys() >= {"default", "profiles", "shard_00", "shard_01", "shard_02"}
    metrics = httpx.get(f"{root}/metrics").text
    assert 'forum_requests_total{method="GET",route="/healthz",status="200"}' in metrics
    assert "forum_service_calls" in metrics
