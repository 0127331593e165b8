"""One million forums in the directory's memory: what an entry costs, and what a look-up."""

import argparse
import subprocess
import sys
import time
from array import array
from collections.abc import Callable
from random import Random
from typing import Any

from tests.benchmarks.figures import Figure, show
from tests.benchmarks.load import ROOT

FORUMS = 1_000_000
LOOKUPS = 200_000
SHARDS = tuple(f"shard_{number:02d}" for number in range(8))


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own, so that its memory is the directory's."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.directory"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3000:])
    measured = dict(line.split("=") for line in done.stdout.split())
    figure = {name: float(value) for name, value in measured.items()}
    plain = {"limit": figure["plain_ns"], "limit_name": "ns plain dict"}
    return show(
        f"The directory with {FORUMS:,} forums",
        [
            Figure(name="memory per entry", value=figure["bytes_per_entry"], unit="bytes"),
            Figure(name="memory in all", value=figure["megabytes"], unit="MB"),
            Figure(name="look-up, one of 1,000 busy forums", value=figure["hot_ns"], unit="ns"),
            Figure(name="look-up, any forum", value=figure["hit_ns"], unit="ns", **plain),
            Figure(name="look-up of one long not asked for", value=figure["old_ns"], unit="ns", **plain),
            Figure(name="look-up of an unknown forum", value=figure["miss_ns"], unit="ns", **plain),
            Figure(name="a new entry, rotations included", value=figure["put_ns"], unit="ns"),
        ],
    )


def _resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def _ns_each(look_up: Callable[[int], object], numbers: array[int]) -> float:
    """Nanoseconds a call; the cost of the bare loop is taken off."""

    def nothing(_number: int) -> None:
        return None

    def timed(call: Callable[[int], object]) -> float:
        began = time.perf_counter_ns()
        for number in numbers:
            call(number)
        return (time.perf_counter_ns() - began) / len(numbers)

    return max(0.1, min(timed(look_up) for _ in range(3)) - min(timed(nothing) for _ in range(3)))


def _measure() -> dict[str, float]:
    """All figures. The directory holds twice as many as asked for, so that all its entries stay young at first."""
    from routers.directory import Directory, Location

    random = Random(1)
    numbers = array("q", random.sample(range(1, FORUMS + 1), FORUMS))  # an array: the directory's keys are its own
    places = [Location(shard, 1) for shard in SHARDS]
    before = _resident_bytes()
    directory = Directory(capacity=2 * FORUMS)
    for number in numbers:
        directory.correct(number, places[number % len(places)])
    used = _resident_bytes() - before
    some = numbers[:LOOKUPS]
    plain = dict.fromkeys(numbers, 1)
    found = {
        "bytes_per_entry": used / FORUMS,
        "megabytes": used / 2**20,
        "plain_ns": _ns_each(plain.get, some),
        "hit_ns": _ns_each(directory.known, some),
        "hot_ns": _ns_each(directory.known, array("q", [random.choice(some) for _ in range(1000)] * (LOOKUPS // 1000))),
        "miss_ns": _ns_each(directory.known, array("q", range(FORUMS + 1, FORUMS + 1 + LOOKUPS))),
    }
    return found | _measure_rotation(places)


def _measure_rotation(places: list[Any]) -> dict[str, float]:
    """At its real capacity: entries from the old generation come back to the young one, and new ones push it out."""
    from routers.directory import CAPACITY, Directory

    directory = Directory()
    for number in range(1, CAPACITY // 2 + 1):
        directory.correct(number, places[0])
    directory.correct(CAPACITY, places[0])  # the young generation is full: it becomes the old one
    began = time.perf_counter_ns()
    for number in range(1, LOOKUPS + 1):
        directory.known(number)
    old_ns = (time.perf_counter_ns() - began) / LOOKUPS
    began = time.perf_counter_ns()
    for number in range(CAPACITY + 1, 2 * CAPACITY + 1):
        directory.correct(number, places[0])
    put_ns = (time.perf_counter_ns() - began) / CAPACITY
    if len(directory) > CAPACITY:
        raise AssertionError(f"{len(directory)} entries are more than the capacity of {CAPACITY}")
    return {"old_ns": old_ns, "put_ns": put_ns}


def main() -> None:
    import os

    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "forum_backend.settings"
    django.setup()
    for name, value in _measure().items():
        print(f"{name}={value}")


if __name__ == "__main__":
    main()
