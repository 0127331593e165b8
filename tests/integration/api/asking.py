"""What the tests of the interface ask for again and again."""

from typing import Any

import httpx

from tests.factories import unique

PROBLEM = "application/problem+json"


def new_forum(client: httpx.Client, **fields: str) -> dict[str, Any]:
    return made(client.post("/forums", json={"slug": unique("api"), "name": "A forum", **fields}))


def new_thread(client: httpx.Client, forum: dict[str, Any], **fields: str) -> dict[str, Any]:
    return made(client.post(f"/forums/{forum['id']}/threads", json={"title": "A thread", "body": "First", **fields}))


def new_post(client: httpx.Client, thread: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return made(client.post(f"/threads/{thread['id']}/posts", json={"body": "A post", **fields}))


def made(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 201, response.text
    shape: dict[str, Any] = response.json()
    return shape


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem of an answer that must be one, of this status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    content: dict[str, Any] = response.json()
    assert content["status"] == status
    assert {"type", "title", "detail"} <= content.keys()
    return content


def walk(client: httpx.Client, path: str, *, limit: int, **query: str) -> tuple[list[str], list[str]]:
    """The ids of a list, page by page to its end and from there back to its beginning."""

    def page_at(**cursor: str) -> dict[str, Any]:
        response = client.get(path, params={"limit": limit, **cursor, **query})
        assert response.status_code == 200, response.text
        page: dict[str, Any] = response.json()
        return page

    page = page_at()
    forward = [item["id"] for item in page["items"]]
    while page["next"]:
        page = page_at(cursor=page["next"])
        forward += [item["id"] for item in page["items"]]
    back = [item["id"] for item in page["items"]]
    while page["previous"]:
        page = page_at(cursor=page["previous"])
        back = [item["id"] for item in page["items"]] + back
    return forward, back
