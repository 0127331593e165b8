"""An import through the command, against COPY of the very rows it made into the same tables with the same indexes."""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql

from tests.benchmarks.harness import Figure, Service, show
from tests.benchmarks.reference import shard_address

POSTS, THREADS, RUNS = 100_000, 2_500, 3
LIMIT_S = 900
SENTENCE = (
    "when the archive moved last spring nobody noticed until search came back with results from both halves so we "
    "kept notes of every step and wrote them down для тех кто придёт потом 因为下一次总是别人做 naïve größer شكرا 🙂"
)
WORDS = SENTENCE.split()
HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<disqus xmlns="http://disqus.com" ' + (
    'xmlns:dsq="http://disqus.com/disqus-internals">\n'
)
# Rows of other tables that these refer to go first; only the time of threads and posts counts.
TABLES = ("forum", "thread", "post")


@dataclass(frozen=True)
class Imported:
    """One import by the command in a process of its own."""

    forum: int
    rows: int
    seconds: float
    peak_mb: float


def write_export(file: IO[str], *, posts: int = POSTS, threads: int = THREADS, seed: int = 1) -> None:
    """An export shaped like real ones: few threads hold most posts, a third are replies, most authors anonymous."""
    chance = random.Random(seed)
    at = datetime(2010, 1, 1)  # noqa: DTZ001 - exports say Z, and nothing here compares times
    file.write(HEAD)
    for number in range(1, threads + 1):
        file.write(
            f'<thread dsq:id="{number}"><id>page-{number}</id><forum>bench</forum><link>https://example.org/{number}/'
            f"</link><title>{_sentence(chance, 3, 8)}</title><message/><createdAt>{at:%Y-%m-%dT%H:%M:%SZ}</createdAt>"
            f"<author>{_author(chance)}</author><isClosed>false</isClosed><isDeleted>false</isDeleted></thread>\n"
        )
    recent: dict[int, list[int]] = {}
    for number in range(1, posts + 1):
        thread = min(int(chance.paretovariate(0.5)), threads)
        above = recent.setdefault(thread, [])
        reply = f'<parent dsq:id="{chance.choice(above)}"/>' if above and chance.random() < 0.35 else ""
        at += timedelta(seconds=11)
        file.write(
            f'<post dsq:id="{number}"><id>wp_id={number}</id><message><![CDATA[{_message(chance)}]]></message>'
            f"<createdAt>{at:%Y-%m-%dT%H:%M:%SZ}</createdAt><isDeleted>false</isDeleted><isSpam>false</isSpam>"
            f'<author>{_author(chance)}</author><thread dsq:id="{thread}"/>{reply}</post>\n'
        )
        recent[thread] = [*above[-7:], number]
    file.write("</disqus>\n")


def _sentence(chance: random.Random, low: int, high: int) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(low, high)))


def _message(chance: random.Random) -> str:
    return "".join(f"<p>{_sentence(chance, 5, 40)}</p>" for _ in range(chance.choice((1, 1, 1, 2, 3))))


def _author(chance: random.Random) -> str:
    who = chance.randint(1, 400)
    username = "" if who % 5 else f"<username>person_{who}</username>"
    return f"<name>Person {who}</name><isAnonymous>{'false' if username else 'true'}</isAnonymous>{username}"


def run_import(service: Service, file: Path, *, slug: str) -> Imported:
    """`manage.py import_disqus` from its start to its end, with the memory the kernel saw it take at most."""
    words = ["import_disqus", str(file), "--forum", slug, "--owner", "bench", "--json"]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "manage.py", *words], env={**os.environ, **service.environment}, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    limit = threading.Timer(LIMIT_S, process.kill)
    limit.start()
    try:
        printed = process.stdout.read()
        _pid, status, usage = os.wait4(process.pid, 0)
    finally:
        limit.cancel()
    process.returncode = status  # it was waited for here, since only the kernel knows its peak
    if status != 0:
        raise RuntimeError(f"the import ended with {status}")
    report = json.loads(printed)
    if report["problems_count"]:
        raise RuntimeError(f"the import could not take all: {report}")
    rows = report["threads_taken"] + report["posts_taken"]
    return Imported(int(report["forum"]), rows, time.monotonic() - began, usage.ru_maxrss / 1024)


def raw_copy_s(service: Service, forum: int, folder: Path) -> float:
    """Seconds that COPY takes for the forum's threads and posts, in one transaction, into another shard."""
    source = shard_address(service, forum=forum)
    shards = dict(part.split("=", 1) for part in service.environment["SHARDS"].split(","))
    target = next(address for address in shards.values() if address != source)
    with psycopg.connect(source) as connection:
        for table in TABLES:
            _copy_out(connection, table, forum, folder / table)
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("SELECT forum_set_ownership(%s, ARRAY['absent'], NULL, 0, 'owner', 1)", [forum])
        return _copy_in(connection, forum, folder)


def _copy_in(connection: psycopg.Connection[Any], forum: int, folder: Path) -> float:
    with connection.transaction():
        connection.execute("SELECT forum_enter(%s, 1)", [forum])
        _copy(connection, "forum", folder / "forum")
    began = time.monotonic()
    with connection.transaction():
        connection.execute("SELECT forum_enter(%s, 1)", [forum])
        for table in TABLES[1:]:
            _copy(connection, table, folder / table)
    return time.monotonic() - began


def _copy_out(connection: psycopg.Connection[Any], table: str, forum: int, file: Path) -> None:
    rows_of = sql.SQL("COPY (SELECT * FROM {} WHERE forum_id = {} ORDER BY 1) TO STDOUT")
    query = rows_of.format(sql.Identifier(table), sql.Literal(forum))
    with file.open("wb") as out, connection.cursor() as cursor, cursor.copy(query) as rows:
        for data in rows:
            out.write(data)


def _copy(connection: psycopg.Connection[Any], table: str, file: Path) -> None:
    query = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
    with file.open("rb") as rows, connection.cursor() as cursor, cursor.copy(query) as copy:
        while data := rows.read(1 << 16):
            copy.write(data)


def run(_arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, Service(roles=()) as service:
        folder, pairs = Path(name), []
        file = folder / "export.xml"
        with file.open("w", encoding="utf-8") as export:
            write_export(export)
        service.token("bench")
        for number in range(RUNS):  # in turns, so that what else the machine does meets both alike
            done = run_import(service, file, slug=f"bench-{number}")
            pairs.append((done, raw_copy_s(service, done.forum, folder)))
    done, copy_s = sorted(pairs, key=lambda pair: pair[1] / pair[0].seconds)[RUNS // 2]
    peak = max(each.peak_mb for each, _copy_s in pairs)
    return show(
        f"Import of {done.rows:,} rows by the command, checking the whole file first; median of {RUNS} runs by ratio",
        [
            Figure(name="rows", value=done.rows / done.seconds, unit="/s", limit=done.rows / copy_s, limit_name="COPY"),
            Figure(name="time", value=done.seconds, unit="s"),
            Figure(name="peak memory of the import's process", value=peak, unit="MB"),
        ],
    )
