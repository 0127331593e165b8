"""A shard that is down takes its forums with it and nothing else; back again, all is well without a restart."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone

from forum_backend.data.control.accounts.models import User
from forum_backend.embedded import EmbeddedServers
from routers.health import health
from tests.factories import make_forum, unique
from tests.integration.api.asking import new_thread, problem
from tests.processes import eventually

SignIn = Callable[..., httpx.Client]
DOWN = "shard_02"
CROWD = 4 * settings.SERVICE_THREADS


def statuses(ask: Callable[[], httpx.Response]) -> set[int]:
    """What a crowd is answered that keeps all service threads busy."""
    with ThreadPoolExecutor(CROWD) as pool:
        answers = [pool.submit(ask) for _ in range(CROWD)]
    return {answer.result().status_code for answer in answers}


def test_one_shard_down(servers: EmbeddedServers, sign_in: SignIn, client: httpx.Client) -> None:
    ada = sign_in()
    lost, fine = make_forum(shard=DOWN), make_forum(shard="shard_00")
    thread = new_thread(ada, {"id": lost.forum_id})

    def post() -> httpx.Response:
        return ada.post(f"/threads/{thread['id']}/posts", json={"body": "without a key"})

    assert statuses(post) == {201}
    servers.kill_server(DOWN)
    try:
        for answer in (
            client.get(f"/forums/{lost.slug}"),
            client.get(f"/threads/{thread['id']}/posts"),
            ada.post(f"/threads/{thread['id']}/posts", json={"body": "x"}),
        ):
            assert problem(answer, 503)["shard"] == DOWN
            assert int(answer.headers["retry-after"]) >= 1
        new_thread(ada, {"id": fine.forum_id})
        listed = client.get("/forums", params={"limit": 2}).json()
        assert listed["missing_shards"] == [DOWN]
        assert [forum["id"] for forum in listed["items"]] == [str(fine.forum_id)]
        ready = httpx.get(str(client.base_url).removesuffix("/api/v1/") + "/readyz")
        assert ready.status_code == 200
        assert ready.json()["databases"][DOWN] == "down"
        made = ada.post("/forums", json={"slug": f"beside-{lost.slug}", "name": "Beside"})
        assert made.status_code == 201
    finally:
        servers.start_server(DOWN)
        connections[DOWN].close()  # this process's own, broken with the server
    eventually(lambda: client.get(f"/forums/{lost.slug}").status_code, lambda status: status == 200)
    eventually(lambda: ada.post(f"/threads/{thread['id']}/posts", json={"body": "x"}).status_code, lambda s: s == 201)
    assert not health.is_down(DOWN)
    assert statuses(post) == {201}, "no thread sends it on a connection that has ended"


def test_profiles_down(servers: EmbeddedServers, sign_in: SignIn, client: httpx.Client) -> None:
    ada = sign_in()
    thread = new_thread(ada, {"id": make_forum().forum_id})
    servers.kill_server("profiles")
    try:
        stranger = sign_in(User.objects.create(username=unique("bare"), joined_at=timezone.now()))
        post = stranger.post(f"/threads/{thread['id']}/posts", json={"body": "x"}).json()
        assert post["author"]["display_name"] == stranger.user.username
        assert len(client.get(f"/threads/{thread['id']}/posts").json()["items"]) == 2
        problem(client.get(f"/users/{ada.user.username}"), 503)
    finally:
        servers.start_server("profiles")
        connections["profiles"].close()
    eventually(lambda: client.get(f"/users/{ada.user.username}").status_code, lambda status: status == 200)


@pytest.mark.parametrize(("server", "path"), [("control", "/me"), ("profiles", "/me/profile")])
def test_a_restart_is_noticed_before_anybody_asks(
    server: str, path: str, servers: EmbeddedServers, sign_in: SignIn
) -> None:
    """Each service thread's kept connection ended with the server: none of them fails a request to find that out."""
    ada = sign_in()

    def ask() -> httpx.Response:
        return ada.get(path)

    assert eventually(lambda: statuses(ask), lambda found: found == {200}) == {200}
    servers.kill_server(server)
    servers.start_server(server)
    assert statuses(ask) == {200}
