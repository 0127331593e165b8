"""One thread's page of fifty posts as JSON: against plain ASGI with the same SQL, and the same SQL in pgbench.

`unchanged` is what readers mostly meet: the page is as it was, one small question confirms it. `spread` asks for many
threads in turn, so that no two readers share a question. `changing` reads while somebody writes into the thread.
"""

import argparse
import os
from typing import Any

from tests.benchmarks.harness import (
    Figure,
    LoadResult,
    ReferenceApp,
    Service,
    load,
    make_thread,
    pgbench,
    request_bytes,
    show,
)
from tests.benchmarks.reference import PAGE_SQL, shard_address

CONNECTIONS = 32
THREADS = 20


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    with Service(roles=("web",)) as service:
        demos = [make_thread(service, posts=50) for _ in range(THREADS)]
        pages = [request_bytes(path=f"/api/v1/threads/{demo.thread}/posts?limit=50") for demo in demos]
        web = {"web": [service.pids["web"]]}

        def asked(requests: list[bytes]) -> LoadResult:
            return load(
                port=service.port, requests=requests, connections=CONNECTIONS, seconds=arguments.seconds, pids=web
            )

        one, spread = asked(pages[:1]), asked(pages)
        shard = service.get_json(f"/api/v1/threads/{demos[0].thread}")["forum"]
        address = shard_address(service, forum=int(shard))
        settings = {"REFERENCE_ADDRESS": address, "REFERENCE_THREAD": str(demos[0].thread)}
        with ReferenceApp("tests.benchmarks.reference:page", environment={**os.environ, **settings}) as app:
            plain = load(
                port=app.port,
                requests=[request_bytes(path="/")],
                connections=CONNECTIONS,
                seconds=arguments.seconds,
                pids={"web": [app.pid]},
            )
        sql = pgbench(
            address=address,
            script=PAGE_SQL.replace("%s", str(demos[0].thread)),
            clients=4,
            seconds=arguments.seconds,
        )
    limits = {"limit": plain.per_core(), "limit_name": "plain ASGI + same SQL"}
    return show(
        "A thread's page of 50 posts as JSON",
        [
            Figure(name="unchanged, per core of the web process", value=one.per_core(), unit="/s", **limits),
            Figure(name="spread over threads, per core", value=spread.per_core(), unit="/s", **limits),
            Figure(
                name="unchanged, as served", value=one.rate, unit="/s", limit=sql.tps, limit_name="pgbench, 4 clients"
            ),
            Figure(name="unchanged p50", value=one.p50_ms, unit="ms", limit=plain.p50_ms, limit_name="plain ASGI"),
            Figure(name="unchanged p99", value=one.p99_ms, unit="ms", limit=plain.p99_ms, limit_name="plain ASGI"),
            Figure(name="errors", value=one.errors + spread.errors, unit=""),
        ],
    )
