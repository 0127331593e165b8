"""Forums through HTTP: creating, reading, changing, deleting, listing, and their history."""

from collections.abc import Callable

import httpx
import pytest
from django.db import connections

from tests.factories import make_forum, unique
from tests.integration.api.asking import made, new_forum, new_post, new_thread, problem, walk
from tests.processes import eventually, relay

SignIn = Callable[..., httpx.Client]


def test_a_forum_is_found_by_id_and_by_slug(sign_in: SignIn, client: httpx.Client) -> None:
    ada = sign_in()
    forum = new_forum(ada, description="About")
    assert forum["id"].isdigit()
    assert forum["owner"]["username"] == ada.user.username
    assert forum["created_at"].endswith("Z")
    assert client.get(f"/forums/{forum['id']}").json() == client.get(f"/forums/{forum['slug']}").json() == forum


def test_staff_see_where_a_forum_lives(sign_in: SignIn) -> None:
    placement = make_forum(shard="shard_01")
    path = f"/forums/{placement.slug}"
    assert sign_in().get(path).json().keys() & {"shard", "epoch"} == set()
    seen = sign_in(is_staff=True).get(path).json()
    assert (seen["shard"], seen["epoch"]) == ("shard_01", 1)


def test_an_etag_saves_an_answer(sign_in: SignIn, client: httpx.Client) -> None:
    ada = sign_in()
    forum = new_forum(ada)
    thread = new_thread(ada, forum)
    for path in (
        f"/forums/{forum['id']}",
        f"/threads/{thread['id']}",
        f"/threads/{thread['id']}/posts",
        f"/posts/{thread['post']['id']}",
    ):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    ada.patch(f"/posts/{thread['post']['id']}", json={"body": "anew"})
    assert client.get(path, headers={"If-None-Match": first.headers["etag"]}).json()["body"] == "anew"


@pytest.mark.parametrize(
    "fields",
    [
        {"slug": "Upper"},
        {"slug": "12345"},
        {"slug": "-x"},
        {"slug": "x" * 61},
        {"slug": "ä"},
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 121},
        {"description": "x" * 2001},
        {"name": "a\x00b"},
        {"owner_id": 1},
    ],
)
def test_forums_that_are_refused(sign_in: SignIn, fields: dict) -> None:
    request = {"slug": unique("api"), "name": "A forum", **fields}
    assert problem(sign_in().post("/forums", json=request), 422)["fields"].keys() == fields.keys()


def test_a_slug_is_taken_once(sign_in: SignIn) -> None:
    forum = new_forum(sign_in())
    problem(sign_in().post("/forums", json={"slug": forum["slug"], "name": "Another"}), 409)


def test_a_creation_with_a_key_takes_effect_once(sign_in: SignIn) -> None:
    ada, key = sign_in(), {"Idempotency-Key": unique("key")}
    request = {"slug": unique("api"), "name": "Once"}
    first = made(ada.post("/forums", json=request, headers=key))
    assert made(ada.post("/forums", json=request, headers=key)) == first
    problem(ada.post("/forums", json={**request, "name": "Twice"}, headers=key), 422)


def test_owners_and_staff_change_and_delete(sign_in: SignIn, client: httpx.Client) -> None:
    ada, other = sign_in(), sign_in()
    forum = new_forum(ada)
    path = f"/forums/{forum['slug']}"
    problem(client.patch(path, json={"name": "x"}), 401)
    problem(other.patch(path, json={"name": "x"}), 403)
    problem(other.delete(path), 403)
    assert ada.patch(path, json={"name": "Renamed"}).json()["name"] == "Renamed"
    assert client.get(path).json()["description"] == forum["description"]
    thread = new_thread(ada, forum)
    assert sign_in(is_staff=True).delete(path).status_code == 204
    for gone in (
        path,
        f"{path}/threads",
        f"{path}/events",
        f"/threads/{thread['id']}",
        f"/posts/{thread['post']['id']}",
    ):
        problem(client.get(gone), 404)
    problem(ada.post(f"/threads/{thread['id']}/posts", json={"body": "late"}), 404)
    problem(ada.delete(path), 404)


def test_the_list_goes_over_all_shards_without_gaps_or_doubles(sign_in: SignIn, client: httpx.Client) -> None:
    wanted = [str(make_forum(shard=f"shard_0{number % 3}").forum_id) for number in range(7)]
    deleted = new_forum(sign_in())
    ada = sign_in(is_staff=True)
    assert ada.delete(f"/forums/{deleted['id']}").status_code == 204
    forward, back = walk(client, "/forums", limit=3)
    assert forward == back == sorted(set(forward), key=int, reverse=True)
    assert set(wanted) <= set(forward)
    assert deleted["id"] not in forward
    assert ada.get("/forums", params={"limit": 7}).json()["items"][0].keys() >= {"shard", "epoch"}
    assert client.get("/forums").json()["missing_shards"] == []


def test_a_forum_that_no_shard_has_is_left_out_of_the_list(client: httpx.Client) -> None:
    here, lost = make_forum(shard="shard_00"), make_forum(shard="shard_00")
    with connections["shard_00"].cursor() as cursor:
        cursor.execute(
            "SELECT forum_set_ownership(%s, ARRAY['owner'], 1, 0, 'departed', 1, false, 'shard_01', 2)", [lost.forum_id]
        )
    listed = client.get("/forums", params={"limit": 2})
    with connections["shard_00"].cursor() as cursor:
        cursor.execute("SELECT forum_set_ownership(%s, ARRAY['departed'], 1, 0, 'owner', 1)", [lost.forum_id])
    assert listed.status_code == 200, listed.text
    assert [item["id"] for item in listed.json()["items"]] == [str(here.forum_id)]


@pytest.mark.parametrize("key", ["no-such-forum", "0", "8388608", "99999999999", "%00", "a b", "..", "-1", "1e3"])
def test_forums_that_are_not_there(client: httpx.Client, key: str) -> None:
    assert client.get(f"/forums/{key}").status_code == 404


def test_the_history_has_no_gap_and_no_secret(sign_in: SignIn, client: httpx.Client) -> None:
    ada = sign_in()
    forum = new_forum(ada)
    thread = new_thread(ada, forum, body="Opening")
    path = f"/forums/{forum['id']}/events"
    posts = [new_post(ada, thread, body=f"secret {number}") for number in range(5)]
    for post in posts:
        ada.delete(f"/posts/{post['id']}")
    with relay("--no-consumers"):
        events = eventually(lambda: client.get(path).json()["items"], lambda items: len(items) == 13)
    assert [event["number"] for event in events] == list(range(1, 14))
    assert [event["type"] for event in events[:3]] == ["forum.created", "thread.created", "post.created"]
    assert events[2]["data"]["author"]["username"] == ada.user.username
    assert "secret" not in client.get(path).text
    page = client.get(path, params={"after": 3, "limit": 4}).json()
    assert [event["number"] for event in page["items"]] == [4, 5, 6, 7]
    assert page["next"] == "7"
    assert client.get(path, params={"after": 13}).json() == {"items": [], "next": None, "previous": None}
    assert client.get(f"/forums/{forum['id']}").json()["posts_count"] == 1
