"""Moves: the copy against a raw pipe of the same rows, the window under steady writes, and what others notice of it."""

import argparse
import contextlib
import statistics
import sys
import threading
import time
from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
from psycopg import sql

from forum_backend.commands.display import Display
from tests.benchmarks.figures import at_share
from tests.benchmarks.harness import (
    COUNTER,
    DemoThread,
    Figure,
    Load,
    LoadResult,
    Service,
    make_thread,
    request_bytes,
    set_up_django,
    show,
)
from tests.benchmarks.load import WARM_UP_S
from tests.benchmarks.reference import shard_address
from tests.journeys.people import ungentle
from tests.running import wait_for

ROWS = 100_000
CONNECTIONS = 4
# One reader beside the writers, at a steady pace: it shall see what moves do, not take the machine from them.
PAGE_EVERY_S = 0.05
ASK_EVERY_S = 0.2
OVER = ("reversible", "cleaned", "aborted")
MOVE_LIMIT_S = 120.0
MOVES_A_FORUM = 2
LONG_MS = 50
FILL_SQL = """
INSERT INTO post (forum_id, thread_id, author_id, guest_name, guest_username, body, html, created_at, is_deleted,
                  is_spam, points)
SELECT %(forum)s, %(thread)s, 1 + n %% 1000, '', '', repeat('some words here ', 10), repeat('<p>some words</p>', 10),
       now(), false, false, 0
FROM generate_series(1, %(rows)s) AS n
"""


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """As many moves as five a second of ``--seconds``: 40 by default, 200 with ``--seconds 40``."""
    with Service(settings={"MOVE_RETENTION_S": "0"}) as service:
        with staff(service) as client, Stalls() as stalls, ungentle(client):
            steady = _windows(service, client, moves=int(arguments.seconds * 5))
        other, large, *more = (make_thread(service, posts=5) for _ in range(4))
        copied, raw = _typical_copy(service, [large, *more])
        with staff(service) as client:
            calm, during = _others(service, client, large, other, seconds=arguments.seconds)
    return show(
        f"Moves: {len(steady.windows)} under {steady.rate:.0f} posts/s into the moving forum; {ROWS:,} posts copied",
        [
            Figure(name="window without writes, p50", value=at_share(steady.windows, 0.5), unit="ms"),
            Figure(name="window, p99", value=at_share(steady.windows, 0.99), unit="ms"),
            Figure(name=f"windows over {LONG_MS} ms", value=sum(each > LONG_MS for each in steady.windows), unit=""),
            Figure(name="window, longest", value=max(steady.windows), unit="ms",
                   limit=stalls.worst_ms, limit_name="ms machine stall"),
            Figure(name="posts refused or failed", value=steady.errors, unit=""),
            Figure(name="longest wait of a writer", value=steady.longest_ms, unit="ms"),
            Figure(name="pages refused or failed", value=steady.page_errors, unit=""),
            Figure(name="longest wait of a reader", value=steady.longest_page_ms, unit="ms",
                   limit=stalls.worst_ms, limit_name="ms machine stall"),
            Figure(name="rows copied", value=copied, unit="/s", limit=raw, limit_name="raw COPY pipe"),
            Figure(name="another forum's posts, p99", value=during.p99_ms, unit="ms",
                   limit=statistics.fmean(each.p99_ms for each in calm), limit_name="ms before and after"),
        ],
    )  # fmt: skip


@dataclass
class Steady:
    """Moves of forums that are written to and read all the while, and what writers and readers saw of them."""

    windows: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    errors: int = 0
    page_errors: int = 0
    longest_ms: float = 0.0
    longest_page_ms: float = 0.0

    @property
    def rate(self) -> float:
        return statistics.fmean(self.rates)


def _windows(service: Service, client: httpx.Client, *, moves: int) -> Steady:
    """So many moves to and fro; a new forum now and then, for all that is written is moved again each time."""
    steady = Steady()
    author = make_thread(service, posts=1)
    with Display(sys.stderr) as display:
        while len(steady.windows) < moves:
            _segment(service, client, steady, author, moves=min(MOVES_A_FORUM, moves - len(steady.windows)))
            worst = f"p50 {at_share(steady.windows, 0.5):.1f}, longest {max(steady.windows):.1f} ms"
            display.step(f"{len(steady.windows)} of {moves} moves, {worst}", len(steady.windows) / moves)
    return steady


def _segment(service: Service, client: httpx.Client, steady: Steady, author: DemoThread, *, moves: int) -> None:
    """Moves of one forum while it is written to, and read at a steady pace."""
    demo = make_thread(service, posts=5, by=author)
    page = request_bytes(path=f"/api/v1/threads/{demo.thread}/posts?limit=50")
    posting = _posting(service, demo, seconds=MOVE_LIMIT_S)
    reading = Load(port=service.port, requests=[page], connections=1, seconds=MOVE_LIMIT_S, pause_s=PAGE_EVERY_S)
    time.sleep(WARM_UP_S)
    for _ in range(moves):
        window = move_and_wait(client, demo.forum)["window_ms"]
        if posting.is_over or window is None:
            raise RuntimeError(f"a move without a window, or without anybody who writes, after {len(steady.windows)}")
        steady.windows.append(window)
    posted, read = posting.stop(), reading.stop()
    steady.rates.append(posted.rate)
    steady.errors += posted.errors
    steady.page_errors += read.errors
    steady.longest_ms = max(steady.longest_ms, posted.max_ms)
    steady.longest_page_ms = max(steady.longest_page_ms, read.max_ms)


def _posting(service: Service, demo: DemoThread, *, seconds: float) -> Load:
    request = request_bytes(
        method="POST",
        path=f"/api/v1/threads/{demo.thread}/posts",
        token=demo.token,
        body=b'{"body": "Does anybody notice?"}',
        headers={"Idempotency-Key": f"{time.monotonic_ns()}-{COUNTER.decode()}"},
    )
    return Load(port=service.port, requests=[request], connections=CONNECTIONS, seconds=seconds)


def move_and_wait(client: httpx.Client, forum: int, *, until: Container[str] = OVER) -> dict[str, Any]:
    """Move a forum to another shard and wait until it is there, or for one of the states ``until``."""
    shards = [shard["name"] for shard in client.get("/shards").json()["items"]]
    here = client.get(f"/forums/{forum}").json()["shard"]
    target = shards[(shards.index(here) + 1) % len(shards)]
    answer = client.post("/moves", json={"forum": str(forum), "target": target})
    answer.raise_for_status()
    number, found = answer.json()["id"], answer.json()

    def is_over() -> bool:
        nonlocal found
        found = client.get(f"/moves/{number}").json()
        return found["state"] in until

    wait_for(is_over, seconds=MOVE_LIMIT_S, what=f"move {number}", every_s=ASK_EVERY_S)
    return found


def _fill(service: Service, demo: DemoThread) -> None:
    with psycopg.connect(shard_address(service, forum=demo.forum), autocommit=True) as connection:
        with connection.transaction():
            connection.execute("SELECT forum_enter(%s, 1)", (demo.forum,))
            connection.execute(FILL_SQL, {"forum": demo.forum, "thread": demo.thread, "rows": ROWS})
        connection.execute("VACUUM ANALYZE post")


def _typical_copy(service: Service, forums: list[DemoThread]) -> tuple[float, float]:
    """The rates of ``_copy_rates`` for the forum whose ratio is the middle one: a copy takes three seconds only."""
    rates = []
    for demo in forums:
        _fill(service, demo)
        rates.append(_copy_rates(service, demo))
    return sorted(rates, key=lambda pair: pair[0] / pair[1])[len(rates) // 2]


def _copy_rates(service: Service, demo: DemoThread) -> tuple[float, float]:
    """Rows a second of the mover's chunks, and of one COPY into a table with the same indexes and nothing else."""
    set_up_django(service)
    from django.utils import timezone

    from forum_backend.services.forum_rows import FORUM_TABLES
    from forum_backend.services.move_control import cancel_move
    from forum_backend.services.moves import request_move, take_over
    from workers.rebalance import arm, begin, prepare, progress
    from workers.rebalance.mover import Mover
    from workers.rebalance.runner import drive
    from workers.rebalance.streams import Streams

    target = "shard_02" if _home(demo.forum) != "shard_02" else "shard_01"
    # Paused at once: nobody but this process drives it.
    move = request_move(forum_id=demo.forum, target=target, requested_by=None, now=timezone.now(), pause_at="planned")
    taken = take_over(move_id=move.pk, now=timezone.now())
    if taken is None:
        raise RuntimeError("the move was taken by another mover")
    with Mover(taken) as mover:
        for step in (prepare.STEP, arm.STEP, begin.STEP):
            step.run(mover)
        raw = _raw_rate(mover.source, mover.target, demo.forum)
        flow = mover.forward
        rows, seconds = 0, 0.0
        with Streams(flow, mover.second) as streams:
            for table in FORUM_TABLES:
                done = progress.read(flow.target, forum=demo.forum)[table.name]
                began = time.perf_counter()
                copied = 0
                while not done.is_copied:
                    copied += streams.copy_chunk(table, done, is_waited_for=False)
                streams.settle()
                if table.name == "post":
                    rows, seconds = copied, time.perf_counter() - began
        raw = (raw + _raw_rate(mover.source, mover.target, demo.forum)) / 2
    cancel_move(move_id=move.pk, now=timezone.now())
    type(move).objects.filter(pk=move.pk).update(leased_until=None)
    drive(move_id=move.pk, token=taken.token)
    return rows / seconds, raw


def _home(forum: int) -> str:
    from routers.directory import directory

    return directory.locate(forum).shard


def _raw_rate(source: psycopg.Connection, target: psycopg.Connection, forum: int) -> float:
    from forum_backend.services.forum_rows import FORUM_TABLES

    post = next(table for table in FORUM_TABLES if table.name == "post")
    with target.transaction():
        target.execute("DROP TABLE IF EXISTS bare_post")
        target.execute("CREATE TABLE bare_post (LIKE post INCLUDING DEFAULTS INCLUDING INDEXES)")
    out = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(post.rows(forum))
    into = sql.SQL("COPY bare_post ({}) FROM STDIN (FORMAT binary)").format(post.column_list())
    began = time.perf_counter()
    with source.cursor() as reader, target.cursor() as writer:
        with reader.copy(out) as data, writer.copy(into) as copy:
            for block in data:
                copy.write(block)
        rows = writer.rowcount
    rate = rows / (time.perf_counter() - began)
    target.execute("DROP TABLE bare_post")
    return rate


def _others(
    service: Service, client: httpx.Client, large: DemoThread, other: DemoThread, *, seconds: float
) -> tuple[list[LoadResult], LoadResult]:
    """Posts into a forum that stays: without a move, before and after, and while a large forum is copied gently."""
    calm = [_posting(service, other, seconds=seconds).result()]
    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(move_and_wait, client, large.forum, until=("cleaned",))
        during = _posting(service, other, seconds=seconds).result()
        moving.result()
    calm.append(_posting(service, other, seconds=seconds).result())
    return calm, during


@contextlib.contextmanager
def staff(service: Service) -> Iterator[httpx.Client]:
    """A client that may move forums."""
    headers = {"Authorization": f"Bearer {service.token('operator', staff=True)}"}
    with httpx.Client(base_url=f"{service.url}/api/v1", headers=headers, timeout=20) as client:
        yield client


class Stalls:
    """How long this machine keeps a process waiting that wants to run after a millisecond."""

    def __init__(self) -> None:
        self.worst_ms = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Stalls":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def _watch(self) -> None:
        while not self._stop.is_set():
            began = time.perf_counter()
            self._stop.wait(0.001)
            self.worst_ms = max(self.worst_ms, (time.perf_counter() - began) * 1000 - 1)
