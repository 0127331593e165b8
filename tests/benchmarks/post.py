"""One post written, durable: against pgbench doing the same statement with as many clients."""

import argparse
from typing import Any

from tests.benchmarks.harness import COUNTER, Figure, Service, load, make_thread, pgbench, request_bytes, show
from tests.benchmarks.reference import shard_address

CONNECTIONS = 16
WARM_UP_S = 3
BODY = "Hello there, this is a **post** of the length that people write when they answer: a sentence or two, a thought."
STATEMENT = (
    "SELECT outcome FROM post_create({forum}, 1, {thread}, NULL, {author}, '{body}', '<p>{body}</p>', now(), "
    "gen_random_uuid()::text, 'digest');"
)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    with Service(roles=("web", "relay")) as service:
        demo = make_thread(service, posts=5)
        web = {"web": [service.pids["web"]]}
        for run, seconds in (("warm-up", WARM_UP_S), ("measured", arguments.seconds)):
            request = request_bytes(
                method="POST",
                path=f"/api/v1/threads/{demo.thread}/posts",
                token=demo.token,
                body=b'{"body": "%s"}' % BODY.encode(),
                headers={"Idempotency-Key": f"{run}-{COUNTER.decode()}"},
            )
            written = load(port=service.port, requests=[request], connections=CONNECTIONS, seconds=seconds, pids=web)
        limit = pgbench(
            address=shard_address(service, forum=demo.forum),
            script=STATEMENT.format(forum=demo.forum, thread=demo.thread, author=1, body=BODY),
            clients=CONNECTIONS,
            seconds=arguments.seconds,
        )
    return show(
        "One post, durable, with an Idempotency-Key",
        [
            Figure(name="written, per core of the web process", value=written.per_core(), unit="/s"),
            Figure(name="written, as served", value=written.rate, unit="/s", limit=limit.tps, limit_name="pgbench"),
            Figure(name="p50", value=written.p50_ms, unit="ms", limit=limit.p50_ms, limit_name="pgbench"),
            Figure(name="p99", value=written.p99_ms, unit="ms", limit=limit.p99_ms, limit_name="pgbench"),
            Figure(name="errors", value=written.errors, unit=""),
        ],
    )
