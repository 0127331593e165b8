"""People write while their forum moves: no error, nothing lost, nothing doubled, at most a short wait."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import connections

from forum_backend.data.shard.models import Post
from forum_backend.domain.moves import MoveState
from forum_backend.queries.forum_read import forum_read
from tests.integration.moves.driving import Populated, drive_to_end, owners, placement, populated

WRITERS = 4
MOVES = 12
TIME_LIMIT_S = 60


def write_until(place: Populated, stop: threading.Event, writer: int) -> list[tuple[int, str]]:
    """Post until told to stop, reading each post back; the ids and texts that were acknowledged."""
    acknowledged: list[tuple[int, str]] = []
    deadline = time.monotonic() + TIME_LIMIT_S
    try:
        while not stop.is_set() and time.monotonic() < deadline:
            post = place.write(f"{writer}-{len(acknowledged)}")
            acknowledged.append((post.pk, post.body))
            shown = forum_read(place.forum, lambda alias, pk=post.pk: Post.objects.using(alias).filter(pk=pk).exists())
            assert shown, "who wrote sees it"
    finally:
        connections.close_all()
    return acknowledged


def test_writers_never_notice_that_their_forum_moves() -> None:
    place = populated()
    stop = threading.Event()
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write_until, place, stop, number) for number in range(WRITERS)]
        try:
            places = ("shard_01", "shard_02", "shard_00")
            moves = [drive_to_end(place.plan(places[number % 3])) for number in range(MOVES)]
        finally:
            stop.set()
        acknowledged = [row for writer in writers for row in writer.result(TIME_LIMIT_S)]
    assert {move.state for move in moves} == {MoveState.CLEANED}
    assert len(owners(place.forum)) == 1
    assert placement(place.forum)[1] == MOVES + 1
    stored = forum_read(
        place.forum,
        lambda alias: list(Post.objects.using(alias).filter(forum_id=place.forum).values_list("pk", "body")),
    )
    assert len(acknowledged) > MOVES * WRITERS, "they wrote all the time"
    assert len({pk for pk, _ in stored}) == len(stored)
    assert sorted(row for row in stored if "-" in row[1]) == sorted(acknowledged)
