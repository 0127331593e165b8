"""Shards that are added and removed: what is refused, and two that are added at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connections
from django.utils import timezone

from forum_backend.data.control.directory.models import Shard
from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import ShardRefused
from forum_backend.domain.moves import MoveState
from forum_backend.services import fleet_changes
from forum_backend.services.fleet_changes import add_shard, drain_shard, remove_shard
from routers.registry import conninfo_of, registry
from tests.factories import make_forum
from tests.integration.fleet.databases import forget, new_databases
from tests.processes import eventually

NAME = "shard_78"
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.fixture
def addresses() -> Iterator[list[str]]:
    """Two empty databases; afterwards there is no shard of this name."""
    with new_databases(2) as found:
        yield found
        Move.objects.filter(target_id=NAME).delete()
        forget(NAME)


def added(name: str, dsn: str) -> Shard:
    """In a thread of its own, as another process would."""
    try:
        return add_shard(name=name, dsn=dsn, now=timezone.now())
    finally:
        connections.close_all()


def test_who_is_added_second_does_not_take_the_name_over(addresses: list[str]) -> None:
    first, second = addresses
    with psycopg.connect(conninfo_of("default")) as control, ThreadPoolExecutor(1) as pool:
        control.execute(fleet_changes._LOCK)  # as one that is adding a shard holds it
        adding = pool.submit(added, NAME, second)
        eventually(lambda: control.execute(WAITING).fetchone() == (1,), limit_s=10)
        Shard.objects.create(pk=NAME, dsn=first)
        control.commit()
        with pytest.raises(ShardRefused, match="There is a shard shard_78 already"):
            adding.result(timeout=20)
    assert Shard.objects.get(pk=NAME).dsn == first


def test_a_shard_is_not_removed_from_under_those_who_clean_up(addresses: list[str]) -> None:
    add_shard(name=NAME, dsn=addresses[0], now=timezone.now())
    drain_shard(name=NAME, now=timezone.now())
    given_up = Move.objects.create(
        forum=make_forum("shard_00"), source_id="shard_00", target_id=NAME, state=MoveState.ABORTED, epoch=1,
        has_leftovers=True,
    )  # fmt: skip
    with pytest.raises(ShardRefused, match=f"Rows that move {given_up.pk} had copied are being deleted"):
        remove_shard(name=NAME, now=timezone.now())
    Move.objects.filter(pk=given_up.pk).update(has_leftovers=False)
    assert remove_shard(name=NAME, now=timezone.now()).state == Shard.State.REMOVED


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("DROP TRIGGER ownership_guard ON ownership", "Not there: ownership.ownership_guard"),
        ("DROP TRIGGER forum_capture ON post", "Not there: post.forum_capture"),
        ("ALTER TABLE post DISABLE TRIGGER a_forum_guard", "Switched off: post.a_forum_guard"),
    ],
)
def test_a_shard_without_its_guards_is_refused(addresses: list[str], change: str, found: str) -> None:
    add_shard(name=NAME, dsn=addresses[0], now=timezone.now())
    with connections[NAME].cursor() as cursor:
        cursor.execute(change)
    forget(NAME)
    with pytest.raises(ShardRefused, match=found):
        add_shard(name=NAME, dsn=addresses[0], now=timezone.now())
    assert NAME not in registry.aliases()
    assert not Shard.objects.filter(pk=NAME).exists()
