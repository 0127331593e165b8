"""Writes that are probed on both shards of a copy, and the shards that others write to."""

from functools import partial

import psycopg

from tests.integration.moves.driving import end_movers_connections, populated
from tests.running import wait_for
from workers.rebalance.prober import Prober, Sample

BOTH = ("shard_00", "shard_01")


def test_writes_are_probed_on_both_shards_with_and_without_the_copy() -> None:
    prober = Prober(BOTH)
    prober.start()
    try:
        for is_calm in (False, True):
            samples: list[Sample] = []
            prober.pause(is_calm)
            wait_for(partial(enough, prober, samples, is_calm), seconds=10, what="samples")
            assert all(0 < sample.ms < 10_000 for sample in samples)
    finally:
        prober.stop()
    assert not prober._thread.is_alive()


def test_the_shards_that_are_written_to_are_known() -> None:
    place, elsewhere = populated("shard_00"), populated("shard_02")
    prober = Prober(BOTH)
    prober.start()
    try:
        wait_for(lambda: not prober.written, seconds=10, what="quiet: nobody writes")
        elsewhere.write()

        def is_seen() -> bool:
            place.write()
            return prober.written == {"shard_00"}

        wait_for(is_seen, seconds=10, what="a shard that is written to")
    finally:
        prober.stop()


def enough(prober: Prober, samples: list[Sample], is_calm: bool) -> bool:
    samples += prober.take()
    return all(sum(s.shard == shard and s.is_calm is is_calm for s in samples) >= 3 for shard in BOTH)


def test_a_probe_that_breaks_is_raised_in_the_copy() -> None:
    prober = Prober(BOTH)
    prober.start()
    try:
        wait_for(lambda: bool(prober.take()), seconds=10, what="a sample")
        end_movers_connections("shard_01")

        def is_broken() -> bool:
            try:
                prober.take()
            except psycopg.OperationalError:
                return True
            return False

        wait_for(is_broken, seconds=10, what="the error")
    finally:
        prober.stop()
