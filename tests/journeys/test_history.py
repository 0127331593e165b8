"""People write while two forums move to and fro; the checker's verdict, and that it sees what was spoiled after it."""

import time

import psycopg
import pytest

from tests.history.checking import HistoryCheck
from tests.history.records import Status
from tests.history.sampler import shard_addresses
from tests.journeys.people import Person
from tests.running import Service

pytestmark = pytest.mark.journey

SECONDS = 20.0
SEED = 20100907
FEWEST_OPERATIONS, FEWEST_MOVES, FEWEST_SAMPLES = 200, 3, 100


def test_a_history_with_moves(service: Service, staff: Person) -> None:
    with HistoryCheck(service, seed=SEED, staff=staff) as check:
        time.sleep(SECONDS)  # how long the run is, no wait for anything
        verdict = check.verdict()
        print(f"\nSeed {SEED}. {verdict}\n{check.windows_text()}")
        assert verdict.is_good, str(verdict)
        assert verdict.figures["done"] >= FEWEST_OPERATIONS
        assert verdict.figures["moves"] - verdict.figures["of them aborted"] >= FEWEST_MOVES
        assert verdict.figures["samples"] >= FEWEST_SAMPLES
        assert check.strays() == []

        post = next(each.post for each in check.history.operations if each.status is Status.DONE and each.post)
        delete_row(service, post)
        kinds = check.judged().kinds()
        assert kinds["lost"] >= 1, kinds
        assert kinds["counter"] >= 1, kinds


def delete_row(service: Service, post: int) -> None:
    """As a careless operator would: on the shard that owns the forum, past the service."""
    forum = post % 2**23
    for address in shard_addresses(service).values():
        with psycopg.connect(address) as shard:
            row = shard.execute("SELECT epoch FROM ownership WHERE forum_id = %s AND mode = 'owner'", (forum,))
            for (epoch,) in row.fetchall():
                shard.execute("SELECT forum_enter(%s, %s)", (forum, epoch))
                shard.execute("DELETE FROM vote WHERE post_id = %s", (post,))
                shard.execute("DELETE FROM post WHERE id = %s", (post,))
