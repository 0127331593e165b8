"""Who takes part in a journey: people with tokens, who write over HTTP, and followers on websockets."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.running import Service

REQUEST_LIMIT_S = 15.0
RETRIES = 20
PASSWORD = "a long enough phrase, 42"


@dataclass(frozen=True)
class Person:
    """A username and a bearer token."""

    username: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def client_of(service: Service, person: Person | None = None) -> httpx.Client:
    """A client of the API."""
    headers = person.headers if person else {}
    return httpx.Client(base_url=f"{service.url}/api/v1", headers=headers, timeout=REQUEST_LIMIT_S)


def make_person(service: Service) -> Person:
    """Registers over HTTP, as a stranger would."""
    name = unique("person")
    with client_of(service) as client:
        expect(client.post("/auth/register", json={"username": name, "password": PASSWORD}), 201)
        token = expect(client.post("/auth/token", json={"username": name, "password": PASSWORD}), 201)["token"]
    return Person(name, token)


def expect(answer: httpx.Response, status: int) -> Any:
    """The answer's JSON, if it has this status."""
    if answer.status_code != status:
        raise AssertionError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}")
    return answer.json() if answer.content else None


def make_forum(client: httpx.Client) -> Any:
    slug = unique("forum")
    return expect(client.post("/forums", json={"slug": slug, "name": slug.title()}), 201)


def make_thread(client: httpx.Client, forum: str) -> Any:
    return expect(client.post(f"/forums/{forum}/threads", json={"title": "A journey", "body": "The first post"}), 201)


def all_items(client: httpx.Client, path: str) -> list[Any]:
    """The items of all pages."""
    items: list[Any] = []
    cursor: dict[str, str] = {}
    for _ in range(1000):
        page = expect(client.get(path, params={"limit": 100, **cursor}), 200)
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = {"cursor": page["next"]}
    raise AssertionError(f"{path} has more than 1,000 pages")


@dataclass
class Written:
    """What a writer did: acknowledged posts by thread, and the refusals that a retry healed."""

    posts: dict[str, list[str]] = field(default_factory=dict)
    refusals: int = 0
    slowest_s: float = 0.0


async def write_post(client: httpx.AsyncClient, *, thread: str, body: str, written: Written) -> None:
    """One post, with a key of its own: after a 503 the same request again, when the answer says. Else an error."""
    key, began = unique("key"), time.monotonic()
    for _ in range(RETRIES):
        answer = await client.post(f"/threads/{thread}/posts", json={"body": body}, headers={"Idempotency-Key": key})
        if answer.status_code != 503:
            post = expect(answer, 201)
            written.posts.setdefault(thread, []).append(post["id"])
            written.slowest_s = max(written.slowest_s, time.monotonic() - began)
            return
        written.refusals += 1
        await asyncio.sleep(float(answer.headers["Retry-After"]))
    raise AssertionError(f"still 503 after {RETRIES} tries: {answer.text[:300]}")


class Follower:
    """A websocket client of one forum: keeps every number and every created post it was sent, in their order."""

    def __init__(self, service: Service, forum: str) -> None:
        self._address = f"{service.websocket_url}/ws/forums/{forum}"
        self.first: int | None = None
        self.numbers: list[int] = []
        self.posts: list[str] = []
        self.frames: list[Any] = []
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    @property
    def last(self) -> int:
        return self.numbers[-1] if self.numbers else (self.first or 0)

    async def follow(self) -> None:
        """Connect: with a snapshot the first time, later with what was missed."""
        after = "" if self.first is None else f"?after={self.last}"
        self._socket = await connect(self._address + after, open_timeout=REQUEST_LIMIT_S, max_size=2**24)
        self._reading = asyncio.create_task(self._read())

    async def leave(self) -> None:
        await self._socket.close()
        if self._reading is not None:
            await self._reading

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                self._take(orjson.loads(text))
        except ConnectionClosed:
            return
        finally:
            self._changed.set()

    def _take(self, frame: Any) -> None:
        if frame["type"] == "snapshot":
            self.first = frame["number"] if self.first is None else self.first
        elif "number" in frame:
            self.numbers.append(frame["number"])
            if frame["type"] == "post.created":
                self.posts.append(frame["data"]["id"])
        self.frames.append(frame)
        self._changed.set()

    async def reaches(self, number: int, *, seconds: float) -> None:
        """Wait until the event with this number came."""
        try:
            async with asyncio.timeout(seconds):
                while self.first is None or self.last < number:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{self._address}: event {number} did not come; the last was {self.last}") from None

    def assert_gapless(self) -> None:
        """Every number after the snapshot's once, in order."""
        assert self.first is not None
        assert self.numbers == list(range(self.first + 1, self.first + 1 + len(self.numbers)))


def last_number(client: httpx.Client, forum: str) -> int:
    """The number of the forum's last event."""
    after = 0
    for _ in range(10_000):
        items = expect(client.get(f"/forums/{forum}/events", params={"after": after, "limit": 100}), 200)["items"]
        if not items:
            return after
        after = items[-1]["number"]
    raise AssertionError("the history does not end")


def move(client: httpx.Client, *, forum: str, target: str, seconds: float = 60.0) -> Any:
    """Move a forum and wait until it lives there; as staff. The move's last shape."""
    asked = expect(client.post("/moves", json={"forum": forum, "target": target}), 202)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = expect(client.get(f"/moves/{asked['id']}"), 200)
        if found["state"] in ("departed", "reversible", "cleaned", "aborted"):
            return found
        time.sleep(0.05)
    raise AssertionError(f"move {asked['id']} is still {found['state']} after {seconds:.0f} s: {found['error']}")


@contextlib.contextmanager
def ungentle(client: httpx.Client) -> Iterator[None]:
    """Copies give way to nobody, for who is staff: where only how moves end counts, many take a third of the time."""
    usual = client.get("/move-limits").json()["slow_factor"]
    client.patch("/move-limits", json={"slow_factor": 100.0}).raise_for_status()
    try:
        yield
    finally:
        client.patch("/move-limits", json={"slow_factor": usual}).raise_for_status()
