"""Threads through HTTP: opening, listing, moderating."""

from collections.abc import Callable

import httpx
import pytest

from tests.factories import make_forum, make_thread, unique
from tests.integration.api.asking import made, new_forum, new_thread, problem, walk

SignIn = Callable[..., httpx.Client]


def test_a_thread_opens_with_its_first_post(sign_in: SignIn, client: httpx.Client) -> None:
    ada = sign_in()
    forum = new_forum(ada)
    answer = new_thread(ada, forum, title="  Seeds  ", body="**When?**")
    post = answer.pop("post")
    assert answer["title"] == "Seeds"
    assert answer["author"]["username"] == post["author"]["username"] == ada.user.username
    assert post["html"] == "<p><strong>When?</strong></p>"
    assert client.get(f"/threads/{answer['id']}").json() == answer
    assert client.get(f"/threads/{answer['id']}/posts").json()["items"] == [post]


def test_a_key_opens_one_thread(sign_in: SignIn, client: httpx.Client) -> None:
    ada, key = sign_in(), {"Idempotency-Key": unique("key")}
    path = f"/forums/{new_forum(ada)['id']}/threads"
    first = made(ada.post(path, json={"title": "T", "body": "B"}, headers=key))
    assert made(ada.post(path, json={"title": "T", "body": "B"}, headers=key)) == first
    problem(ada.post(path, json={"title": "T", "body": "C"}, headers=key), 422)
    assert len(client.get(path).json()["items"]) == 1


def test_pinned_threads_come_first_and_pages_have_no_gaps(sign_in: SignIn, client: httpx.Client) -> None:
    ada = sign_in()
    placement = make_forum(owner=ada.user)
    ids = [str(make_thread(placement.forum_id).pk) for _number in range(8)]
    assert ada.patch(f"/threads/{ids[2]}", json={"is_pinned": True}).json()["is_pinned"]
    assert ada.delete(f"/threads/{ids[5]}").status_code == 204
    forward, back = walk(client, f"/forums/{placement.slug}/threads", limit=3)
    assert forward == back == [ids[2], ids[7], ids[6], ids[4], ids[3], ids[1], ids[0]]


def test_authors_change_titles_and_moderators_all_else(sign_in: SignIn, client: httpx.Client) -> None:
    owner, author, other, staff = sign_in(), sign_in(), sign_in(), sign_in(is_staff=True)
    thread = new_thread(author, new_forum(owner))
    path = f"/threads/{thread['id']}"
    assert author.patch(path, json={"title": "Mine"}).json()["title"] == "Mine"
    problem(author.patch(path, json={"is_closed": True}), 403)
    problem(author.delete(path), 403)
    problem(other.patch(path, json={"title": "Not mine"}), 403)
    problem(client.patch(path, json={"title": "Nobody's"}), 401)
    assert staff.patch(path, json={"is_closed": True}).json()["is_closed"]
    problem(author.patch(path, json={"title": "Late"}), 403)
    problem(other.post(f"{path}/posts", json={"body": "Late"}), 409)
    assert owner.patch(path, json={"is_closed": False, "title": "Open"}).json()["title"] == "Open"
    assert owner.delete(path).status_code == 204
    problem(client.get(path), 404)
    problem(client.get(f"{path}/posts"), 404)
    problem(client.get(f"/posts/{thread['post']['id']}"), 404)


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"title": ""}, "title"),
        ({"title": " \t"}, "title"),
        ({"title": "x" * 301}, "title"),
        ({"body": ""}, "body"),
        ({"body": "x" * 20_001}, "body"),
        ({"body": "nul \x00"}, "body"),
        ({"title": 5}, "title"),
        ({"title": None}, "title"),
        ({"forum": "1"}, "forum"),
    ],
)
def test_threads_that_are_refused(sign_in: SignIn, fields: dict, at_fault: str) -> None:
    ada = sign_in()
    path = f"/forums/{new_forum(ada)['id']}/threads"
    assert at_fault in problem(ada.post(path, json={"title": "T", "body": "B", **fields}), 422)["fields"]


@pytest.mark.parametrize("name", ["0", "1", "abc", "9" * 19, "9" * 40, "8388608", "%00", "-5", "１２３"])
def test_threads_that_are_not_there(client: httpx.Client, name: str) -> None:
    for path in (f"/threads/{name}", f"/threads/{name}/posts", f"/posts/{name}"):
        problem(client.get(path), 404)
