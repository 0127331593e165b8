"""What the routers cost: the same query through them and with its alias given by hand."""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks.harness import Figure, Service, set_up_django, show

ROUNDS, CALLS = 30, 50
Pair = tuple[Callable[[], Any], Callable[[], Any]]


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Every pair is measured in turns, so that what else the machine does hits both alike; medians of the rounds."""
    with Service(roles=()) as service:
        set_up_django(service)
        figures = [figure for name, pair in _pairs().items() for figure in _figures(name, pair)]
        return show("Routing", figures)


def _pairs() -> dict[str, Pair]:
    """Name -> the same queryset through the routers and with its alias given."""
    from forum_backend.data.profiles.models import Profile
    from forum_backend.data.shard.models import Post
    from tests import factories

    user = factories.make_user()
    forum, alias = factories.make_forum(shard="shard_01", owner=user).forum_id, "shard_01"
    thread = factories.make_thread(forum, author=user)
    post = factories.make_post(thread, author_id=user.pk)
    on_shard = Post.objects.using(alias)
    return {
        "a post by its id": (
            lambda: Post.objects.filter(pk=post.pk),
            lambda: on_shard.filter(pk=post.pk),
        ),
        "a thread's posts, in_forum": (
            lambda: Post.objects.in_forum(forum).filter(thread_id=thread.pk),
            lambda: on_shard.filter(forum_id=forum).filter(thread_id=thread.pk),
        ),
        "a relation, thread.posts": (
            lambda: thread.posts.filter(is_deleted=False),
            lambda: on_shard.filter(thread=thread).filter(is_deleted=False),
        ),
        "another application, a profile": (
            lambda: Profile.objects.filter(pk=user.pk),
            lambda: Profile.objects.using("profiles").filter(pk=user.pk),
        ),
    }


def _figures(name: str, pair: Pair) -> list[Figure]:
    """The whole query with its answer, and the difference that routing makes until the alias is known."""
    routed, direct = pair
    whole_us, direct_us = _in_turns(lambda: list(routed()), lambda: list(direct()))
    with_us, without_us = _in_turns(lambda: routed().db, lambda: direct().db)
    cost = statistics.median(a - b for a, b in zip(with_us, without_us, strict=True))
    limit = statistics.median(direct_us)
    return [
        Figure(name=name, value=statistics.median(whole_us), unit="µs", limit=limit, limit_name="µs with .using()"),
        Figure(name=f"{name}: routing", value=cost, unit="µs"),
    ]


def _in_turns(*calls: Callable[[], object]) -> list[list[float]]:
    """Microseconds a call, one value a round, for each of the calls."""
    found: list[list[float]] = [[] for _ in calls]
    for round_number in range(ROUNDS + 3):
        for times, call in zip(found, calls, strict=True):
            began = time.perf_counter_ns()
            for _ in range(CALLS):
                call()
            if round_number >= 3:  # the first ones warm up
                times.append((time.perf_counter_ns() - began) / CALLS / 1000)
    return found
