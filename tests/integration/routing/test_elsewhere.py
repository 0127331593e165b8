"""A forum that left a shard before it died is served from where it lives, though this process had not heard of it."""

import pytest

from forum_backend.data.control.directory.models import ForumPlacement
from forum_backend.domain.errors import ShardUnavailable
from forum_backend.queries.forum_read import forum_read
from forum_backend.services.forum_write import OpenForum, forum_write
from routers.directory import Location, directory
from routers.health import health
from tests.factories import make_forum


@pytest.fixture
def forum() -> int:
    """Lives on shard_01 by the control database and the shard itself; this process believes it on shard_00."""
    placement = make_forum("shard_01")
    directory.forget(placement.forum_id)
    directory.correct(placement.forum_id, Location("shard_00", 1))
    return placement.forum_id


def test_a_dead_former_shard_hides_nothing(forum: int) -> None:
    health.failed("shard_00")
    assert forum_read(forum, lambda alias: alias) == "shard_01"
    directory.forget(forum)
    directory.correct(forum, Location("shard_00", 1))
    health.failed("shard_00")
    assert forum_write(forum, lambda place: place.shard) == "shard_01"
    health.answered("shard_00")


def test_a_write_whose_answer_was_lost_is_not_sent_elsewhere() -> None:
    placement = make_forum("shard_00")
    assert directory.locate(placement.forum_id).shard == "shard_00"
    ForumPlacement.objects.filter(pk=placement.pk).update(shard_id="shard_01", epoch=2)
    sent = []

    def write(place: OpenForum) -> None:
        sent.append(place.shard)
        raise ShardUnavailable(place.shard, may_have_happened=True)

    with pytest.raises(ShardUnavailable):
        forum_write(placement.forum_id, write)
    assert sent == ["shard_00"]
