"""Posts and votes through HTTP: trees, orders, keys, rights, and what a deleted post still shows."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from forum_backend.data.shard.models import Post
from forum_backend.domain.ids import n_of, routed_id
from forum_backend.services.forum_write import forum_write
from tests.factories import make_forum, make_post, make_thread, unique
from tests.integration.api.asking import made, new_forum, new_post, new_thread, problem, walk
from tests.processes import web

SignIn = Callable[..., httpx.Client]


@pytest.fixture
def ada(sign_in: SignIn) -> httpx.Client:
    return sign_in()


@pytest.fixture
def thread(ada: httpx.Client) -> dict:
    return new_thread(ada, new_forum(ada))


def test_replies_stand_below_what_they_answer(ada: httpx.Client, thread: dict, client: httpx.Client) -> None:
    first = thread["post"]
    last = new_post(ada, thread)
    reply = new_post(ada, thread, parent=first["id"])
    deeper = new_post(ada, thread, parent=reply["id"])
    assert [post["depth"] for post in (first, last, reply, deeper)] == [0, 0, 1, 2]
    assert reply["parent"] == first["id"]
    shown = client.get(f"/threads/{thread['id']}/posts", params={"order": "nested"}).json()["items"]
    assert [post["id"] for post in shown] == [first["id"], reply["id"], deeper["id"], last["id"]]
    assert client.get(f"/posts/{deeper['id']}").json() == deeper == shown[2]


@pytest.mark.parametrize("order", ["oldest", "newest", "best", "nested"])
def test_pages_have_neither_gaps_nor_doubles(client: httpx.Client, order: str) -> None:
    thread = make_thread(make_forum().forum_id)
    posts = [make_post(thread, points=number % 3) for number in range(6)]
    posts += [make_post(thread, parent=posts[number]) for number in (4, 0, 4)]
    wanted = {
        "oldest": sorted(posts, key=lambda post: post.pk),
        "newest": sorted(posts, key=lambda post: -post.pk),
        "best": sorted(posts, key=lambda post: (-post.points, -post.pk)),
        "nested": [posts[number] for number in (0, 7, 1, 2, 3, 4, 6, 8, 5)],
    }[order]
    for limit in (1, 2, 4, 9, 100):
        forward, back = walk(client, f"/threads/{thread.pk}/posts", limit=limit, order=order)
        assert forward == back == [str(post.pk) for post in wanted]


def test_a_page_stays_right_while_people_write(ada: httpx.Client, thread: dict, client: httpx.Client) -> None:
    path = f"/threads/{thread['id']}/posts"
    early = [thread["post"]["id"]] + [new_post(ada, thread)["id"] for _number in range(4)]
    page = client.get(path, params={"order": "newest", "limit": 2}).json()
    new_post(ada, thread)
    following = client.get(path, params={"order": "newest", "limit": 9, "cursor": page["next"]}).json()
    assert [post["id"] for post in page["items"] + following["items"]] == early[::-1]


@pytest.mark.parametrize("cursor", ["x", "e30", "bnVsbA", "%00", "W10", "WyJvbGRlc3QiLCJndCIsImEiXQ", "é", "A" * 500])
def test_cursors_of_nobody_are_refused(thread: dict, client: httpx.Client, cursor: str) -> None:
    problem(client.get(f"/threads/{thread['id']}/posts", params={"cursor": cursor}), 422)


def test_a_cursor_belongs_to_its_list(ada: httpx.Client, thread: dict, client: httpx.Client) -> None:
    new_post(ada, thread)
    path = f"/threads/{thread['id']}/posts"
    cursor = client.get(path, params={"limit": 1}).json()["next"]
    problem(client.get(path, params={"cursor": cursor, "order": "best"}), 422)
    for query in ({"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"order": "worst"}):
        problem(client.get(path, params=query), 422)


def test_one_key_one_post(ada: httpx.Client, sign_in: SignIn, thread: dict, client: httpx.Client) -> None:
    path, key = f"/threads/{thread['id']}/posts", {"Idempotency-Key": unique("key")}
    first = made(ada.post(path, json={"body": "once"}, headers=key))
    assert made(ada.post(path, json={"body": "once"}, headers=key)) == first
    problem(ada.post(path, json={"body": "twice"}, headers=key), 422)
    problem(ada.post(path, json={"body": "once", "parent": first["id"]}, headers=key), 422)
    assert made(sign_in().post(path, json={"body": "another's"}, headers=key))["id"] != first["id"]
    assert len(client.get(path).json()["items"]) == 3


def test_one_key_at_the_same_time_is_one_post(ada: httpx.Client, thread: dict, client: httpx.Client) -> None:
    path, key = f"/threads/{thread['id']}/posts", {"Idempotency-Key": unique("key")}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _n: ada.post(path, json={"body": "once"}, headers=key), range(8)))
    assert {made(answer)["id"] for answer in answers} == {answers[0].json()["id"]}
    assert len(client.get(path).json()["items"]) == 2


def test_a_key_outlives_the_process(ada: httpx.Client, thread: dict) -> None:
    path, key = f"/threads/{thread['id']}/posts", {"Idempotency-Key": unique("key")}
    first = made(ada.post(path, json={"body": "once"}, headers=key))
    with web("forum_backend.asgi:application") as port:
        headers = {**key, "Authorization": ada.headers["authorization"]}
        again = httpx.post(f"http://127.0.0.1:{port}/api/v1{path}", json={"body": "once"}, headers=headers, timeout=20)
    assert made(again) == first


@pytest.mark.parametrize("key", ["x" * 201, "with space", "tab\t.", "ümlaut", ""])
def test_keys_that_are_refused(ada: httpx.Client, thread: dict, key: str) -> None:
    answer = ada.post(
        f"/threads/{thread['id']}/posts", json={"body": "x"}, headers={"Idempotency-Key": key.encode("latin1")}
    )
    assert "Idempotency-Key" in problem(answer, 422)["fields"]


def test_a_parent_is_a_post_of_the_thread(ada: httpx.Client, thread: dict) -> None:
    path = f"/threads/{thread['id']}/posts"
    elsewhere = new_thread(ada, {"id": thread["forum"]})["post"]
    deleted = new_post(ada, thread)
    ada.delete(f"/posts/{deleted['id']}")
    for parent in (elsewhere["id"], deleted["id"], "1", "x", "", "9" * 19):
        problem(ada.post(path, json={"body": "x", "parent": parent}), 422)


def test_authors_and_moderators_edit_and_delete(sign_in: SignIn, client: httpx.Client) -> None:
    owner, author, other = sign_in(), sign_in(), sign_in()
    thread = new_thread(owner, new_forum(owner))
    path = f"/posts/{new_post(author, thread, body='*Mine*')['id']}"
    problem(client.patch(path, json={"body": "x"}), 401)
    problem(other.patch(path, json={"body": "x"}), 403)
    problem(other.delete(path), 403)
    edited = author.patch(path, json={"body": "*Anew*"}).json()
    assert (edited["html"], edited["edited_at"] is None) == ("<p><em>Anew</em></p>", False)
    assert client.get(path).json() == edited
    assert owner.patch(path, json={"body": "Moderated"}).status_code == 200
    assert owner.delete(path).status_code == 204
    assert author.delete(path).status_code == 204
    problem(author.patch(path, json={"body": "Back?"}), 409)
    problem(author.put(f"{path}/vote", json={"value": 1}), 409)


def test_a_deleted_post_keeps_its_place_and_nothing_else(ada: httpx.Client, thread: dict, client: httpx.Client) -> None:
    post = new_post(ada, thread, body="to be forgotten")
    ada.delete(f"/posts/{post['id']}")
    shown = client.get(f"/posts/{post['id']}")
    assert "forgotten" not in shown.text + client.get(f"/threads/{thread['id']}/posts").text
    assert ada.user.username not in shown.text
    assert (
        shown.json().items() >= {"is_deleted": True, "body": "", "html": "", "author": None, "author_id": None}.items()
    )


def test_spam_is_not_shown(client: httpx.Client) -> None:
    thread = make_thread(make_forum().forum_id)
    spam = make_post(thread, body="cheap pills", is_spam=True, guest_name="Spammer")
    shown = client.get(f"/threads/{thread.pk}/posts")
    assert "pills" not in shown.text
    assert "Spammer" not in shown.text
    assert shown.json()["items"][0].items() >= {"id": str(spam.pk), "is_spam": True, "author": None}.items()


def test_guests_of_an_import_have_a_name_and_no_account(client: httpx.Client) -> None:
    post = make_post(make_thread(make_forum().forum_id), guest_name="Grace")
    author = client.get(f"/posts/{post.pk}").json()["author"]
    assert author == {"username": None, "display_name": "Grace", "avatar": ""}


def test_html_that_could_run_is_gone(ada: httpx.Client, thread: dict) -> None:
    body = "<script>alert(1)</script> [x](javascript:alert(1)) <img src=x onerror=alert(1)> ![i](http://a/b.png)"
    html = new_post(ada, thread, body=body)["html"]
    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html


def test_votes_are_one_a_user(sign_in: SignIn, thread: dict, client: httpx.Client) -> None:
    path = f"/posts/{thread['post']['id']}/vote"
    first, second = sign_in(), sign_in()
    points = [
        voter.put(path, json={"value": value}).json()["points"]
        for voter, value in ((first, 1), (first, 1), (second, 1), (first, -1), (second, 0), (first, 0), (first, 0))
    ]
    assert points == [1, 1, 2, 0, -1, 0, 0]
    for bad in ({"value": 2}, {"value": "1"}, {"value": True}, {"value": None}, {}, {"value": 1, "user": "2"}):
        problem(first.put(path, json=bad), 422)
    problem(client.put(path, json={"value": 1}), 401)


def test_many_votes_at_once_add_up(sign_in: SignIn, thread: dict, client: httpx.Client) -> None:
    voters = [sign_in() for _number in range(8)]
    path = f"/posts/{thread['post']['id']}"
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda voter: voter.put(f"{path}/vote", json={"value": 1}), voters))
    assert client.get(path).json()["points"] == 8


def test_an_empty_cursor_is_the_beginning_each_time(client: httpx.Client, thread: dict) -> None:
    path = f"/threads/{thread['id']}/posts"
    for _time in range(3):  # read, then confirmed by the endpoint, then by the shortcut
        answer = client.get(path, params={"cursor": ""})
        assert [post["id"] for post in answer.json()["items"]] == [thread["post"]["id"]]


def test_the_best_posts_are_known_apart_though_their_numbers_add_up_alike(client: httpx.Client) -> None:
    thread = make_thread(make_forum().forum_id)
    beyond = n_of(thread.pk) + 1_000
    posts = [make_post(thread, pk=routed_id(n=beyond + more, forum=thread.forum_id)) for more in range(4)]
    for points, shown in ((1, [posts[0], posts[3]]), (2, [posts[1], posts[2]])):  # numbers 0 + 3, then 1 + 2
        forum_write(thread.forum_id, lambda _forum, shown=shown, points=points: _set_points(shown, points))
        page = client.get(f"/threads/{thread.pk}/posts", params={"order": "best", "limit": 1}).json()
        assert page["items"][0]["id"] == str(shown[1].pk)


def _set_points(posts: list[Post], points: int) -> None:
    Post.objects.in_forum(posts[0]).filter(pk__in=[post.pk for post in posts]).update(points=points)
