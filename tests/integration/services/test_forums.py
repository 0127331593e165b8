"""Where new forums go, and a creation that was cut off half way."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from forum_backend.data.control.directory.models import ForumPlacement, Shard
from forum_backend.data.shard.models import Forum, OutboxEvent
from forum_backend.domain.errors import AlreadyTaken
from forum_backend.queries.forums import forum_by, forum_page
from forum_backend.services.forums import create_forum
from forum_backend.services.placing import ROWS_OF_A_NEW_FORUM, claim_shard
from routers.directory import directory
from tests.factories import make_user, unique

LOADS = ("rows_count", "forums_count", "placed_since", "state")


@pytest.fixture
def loads() -> Iterator[None]:
    """Puts the registry back as it was."""
    before = list(Shard.objects.values("name", *LOADS))
    Shard.objects.update(rows_count=0, forums_count=0, placed_since=0)
    yield
    for row in before:
        Shard.objects.filter(pk=row.pop("name")).update(**row)


def new_forum(**fields: Any) -> dict[str, Any]:
    request = {"owner_id": make_user().pk, "slug": unique("svc"), "name": "A forum", "now": timezone.now(), **fields}
    return create_forum(**request)


def shard_of(forum: dict[str, Any]) -> str:
    return str(forum_page(int(forum["id"]), for_staff=True)["shard"])


def test_a_forum_goes_to_the_shard_with_the_least_load(loads: None) -> None:
    Shard.objects.filter(pk="shard_00").update(rows_count=5 * ROWS_OF_A_NEW_FORUM)
    Shard.objects.filter(pk="shard_01").update(rows_count=3 * ROWS_OF_A_NEW_FORUM)
    placed = [shard_of(new_forum()) for _number in range(6)]
    assert placed == ["shard_02"] * 3 + ["shard_01", "shard_02", "shard_01"]


def test_forums_made_at_the_same_moment_spread(loads: None) -> None:
    with ThreadPoolExecutor(3) as pool:
        placed = list(pool.map(lambda _number: claim_and_close(), range(6)))
    assert sorted(placed) == sorted(["shard_00", "shard_01", "shard_02"] * 2)


def claim_and_close() -> str:
    try:
        return claim_shard()
    finally:
        connections.close_all()


def test_a_draining_shard_gets_none(loads: None) -> None:
    Shard.objects.exclude(pk="shard_01").update(state=Shard.State.DRAINING)
    assert {claim_shard() for _number in range(3)} == {"shard_01"}


def test_a_forum_is_written_where_its_directory_says() -> None:
    forum = new_forum(shard="shard_02")
    number = int(forum["id"])
    assert directory.locate(number).shard == "shard_02"
    assert Forum.objects.using("shard_02").get(pk=number).slug == forum["slug"]
    for other in ("shard_00", "shard_01"):
        assert not Forum.objects.using(other).filter(pk=number).exists()


@pytest.mark.parametrize("came_as_far_as", ["directory", "ownership", "rows"])
def test_a_creation_that_was_cut_off_is_taken_up_again(came_as_far_as: str) -> None:
    owner, slug = make_user(), unique("half")
    if came_as_far_as == "rows":
        number = int(new_forum(owner_id=owner.pk, slug=slug, shard="shard_00")["id"])
        ForumPlacement.objects.filter(pk=number).update(is_ready=False)
    else:
        number = ForumPlacement.objects.create(slug=slug, shard_id="shard_00", owner=owner).pk
        if came_as_far_as == "ownership":
            with connections["shard_00"].cursor() as cursor:
                cursor.execute("SELECT forum_set_ownership(%s, ARRAY['absent'], NULL, 0, 'owner', 1)", [number])
    with pytest.raises(AlreadyTaken):
        new_forum(slug=slug)
    forum = new_forum(owner_id=owner.pk, slug=slug)
    assert int(forum["id"]) == number == forum_by(slug_or_id=slug)
    assert ForumPlacement.objects.get(pk=number).is_ready


def test_one_creation_at_the_same_time_is_one_forum_and_one_event() -> None:
    request = {"owner_id": make_user().pk, "slug": unique("race"), "key": unique("key"), "shard": "shard_01"}

    def create(_number: int) -> dict[str, Any]:
        try:
            return new_forum(**request)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as threads:
        made = list(threads.map(create, range(6)))
    assert {forum["id"] for forum in made} == {made[0]["id"]}
    assert OutboxEvent.objects.in_forum(int(made[0]["id"])).filter(type="forum.created").count() == 1
