"""All that a benchmark needs: the running service, a thread to read, load, limits, and a table of figures.

A benchmark is a module with `run(arguments) -> dict`, where `arguments.seconds` is how long one measurement lasts:

    def run(arguments):
        with Service(roles=("web", "relay")) as service:
            demo = make_thread(service, posts=50)
            asked = [request_bytes(path=f"/api/v1/threads/{demo.thread}/posts?limit=50")]
            result = load(port=service.port, requests=asked, connections=32, seconds=arguments.seconds,
                          pids={"web": [service.pids["web"]]})
            return show("A thread page", [Figure(name="page", value=result.per_core("web"), unit="/s and core")])
"""

import itertools
from dataclasses import dataclass

import httpx

from tests.benchmarks.figures import Figure, show
from tests.benchmarks.limits import PgbenchResult, ReferenceApp, find_pgbench, pgbench
from tests.benchmarks.load import COUNTER, Load, LoadResult, load, request_bytes
from tests.benchmarks.processor import cpu_seconds, peak_memory_mb
from tests.running import Service, wait_for

__all__ = [
    "COUNTER",
    "DemoThread",
    "Figure",
    "Load",
    "LoadResult",
    "PgbenchResult",
    "ReferenceApp",
    "Service",
    "cpu_seconds",
    "find_pgbench",
    "load",
    "make_thread",
    "peak_memory_mb",
    "pgbench",
    "request_bytes",
    "set_up_django",
    "show",
    "wait_for",
]

_numbers = itertools.count(1)
WORDS = (
    "When we moved the archive last spring, nobody noticed until the **search** came back with results from both"
    " halves. I kept notes of each step, because the second attempt is always the one that somebody else has to make."
)


@dataclass(frozen=True, kw_only=True)
class DemoThread:
    """A forum's number, a thread in it with its posts (routed ids), and the author's token."""

    forum: int
    thread: int
    posts: tuple[int, ...]
    token: str
    username: str


def make_thread(service: Service, *, posts: int = 50, by: DemoThread | None = None) -> DemoThread:
    """A new forum with one thread of so many posts, some of them replies, written over HTTP by a new user or ``by``."""
    name = f"bench-{next(_numbers)}"
    username, token = (by.username, by.token) if by else (name, service.token(name))
    with httpx.Client(
        base_url=f"{service.url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=20
    ) as client:
        forum = _made(client, "/forums", {"slug": f"forum-of-{name}", "name": "A forum to measure"})
        new = {"title": "How long does it take?", "body": WORDS}
        thread = _made(client, f"/forums/{forum['id']}/threads", new)
        ids = [int(item["id"]) for item in client.get(f"/threads/{thread['id']}/posts").json()["items"]]
        for number in range(1, posts):
            reply = {"parent": str(ids[number // 3])} if number % 3 else {}
            ids.append(int(_made(client, f"/threads/{thread['id']}/posts", {"body": WORDS, **reply})["id"]))
    return DemoThread(
        forum=int(forum["id"]), thread=int(thread["id"]), posts=tuple(ids), token=token, username=username
    )


def _made(client: httpx.Client, path: str, new: dict[str, str]) -> dict[str, str]:
    answer = client.post(path, json=new)
    if answer.status_code != 201:
        raise RuntimeError(f"POST {path} answered {answer.status_code}: {answer.text[:300]}")
    made: dict[str, str] = answer.json()
    return made


def set_up_django(service: Service) -> None:
    """Make this process one of the service's own: models and routers can be used."""
    import os

    import django

    os.environ.update(service.environment)
    django.setup()
