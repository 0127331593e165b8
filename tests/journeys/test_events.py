"""A request with an Idempotency-Key takes effect once: over a restart of the web process, and over a move."""

import pytest

from tests.journeys import people
from tests.journeys.people import Person, client_of, expect
from tests.running import Service

pytestmark = pytest.mark.journey


def test_same_key_same_answer_after_a_restart_and_after_a_move(service: Service, staff: Person, person: Person) -> None:
    with client_of(service, person) as client, client_of(service, staff) as operator:
        forum = people.make_forum(client)
        thread = people.make_thread(client, forum["id"])["id"]
        headers = {"Idempotency-Key": people.unique("key")}

        def post(body: str) -> object:
            return expect(client.post(f"/threads/{thread}/posts", json={"body": body}, headers=headers), 201)

        first = post("Once, please")
        service.kill("web")
        service.start("web")
        service.wait_ready()
        assert post("Once, please") == first

        source = expect(operator.get(f"/forums/{forum['id']}"), 200)["shard"]
        target = next(
            shard["name"] for shard in expect(operator.get("/shards"), 200)["items"] if shard["name"] != source
        )
        moved = people.move(operator, forum=forum["id"], target=target)
        assert (moved["state"], moved["error"]) != ("aborted", "")
        assert expect(operator.get(f"/forums/{forum['id']}"), 200)["shard"] == target
        assert post("Once, please") == first

        other = client.post(f"/threads/{thread}/posts", json={"body": "Something else"}, headers=headers)
        assert other.status_code == 422
        bodies = [item["body"] for item in people.all_items(client, f"/threads/{thread}/posts")]
        assert bodies == ["The first post", "Once, please"]
