"""From the start of a POST to its arrival at websockets: one follower, and a hundred."""

import argparse
import asyncio
import base64
import json
import os
import secrets
import time
from typing import Any

from tests.benchmarks.figures import at_share
from tests.benchmarks.harness import DemoThread, Figure, Service, make_thread, request_bytes, show
from tests.benchmarks.load import COUNTER, answer_size

POSTS = 300
WARM_UP = 20
ARRIVAL_LIMIT_S = 10.0
TEXT, PING = 0x1, 0x9


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """One post at a time; the next when all followers have it. The limit is the answer to the POST itself."""
    figures: list[Figure] = []
    with Service(roles=("web", "relay")) as service:
        for followers in (1, 100):
            demo = make_thread(service, posts=1)
            figures += asyncio.run(_measure(service, demo, followers))
    return show(f"POST to websocket, {POSTS} posts", figures)


class Follower(asyncio.Protocol):
    """The least of a websocket client: notes when each text frame came, and tells how many there were."""

    def __init__(self, path: str) -> None:
        self._path, self._buffer, self._is_open = path, b"", False
        self.frames: list[bytes] = []
        self.came_ns = 0
        self.changed = asyncio.Event()
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {self._path} HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        self.transport.write("\r\n".join(lines).encode())

    def data_received(self, data: bytes) -> None:
        came_ns = time.perf_counter_ns()
        self._buffer += data
        if not self._is_open:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                raise ConnectionError(head.decode("latin-1"))
            self._is_open, self._buffer = True, rest
        while self._take_frame():
            self.came_ns = came_ns
        self.changed.set()

    def _take_frame(self) -> bool:
        data = self._buffer
        if len(data) < 2:
            return False
        size, start = data[1] & 0x7F, 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        if len(data) < start + size:
            return False
        if data[0] & 0x0F == TEXT:
            self.frames.append(data[start : start + size])
        elif data[0] & 0x0F == PING:
            self.transport.write(bytes([0x8A, 0x80 | size]) + bytes(4) + data[start : start + size])
        self._buffer = data[start + size :]
        return True

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_lost = True
        self.changed.set()

    async def has(self, frames: int) -> None:
        """Wait until so many frames came."""
        async with asyncio.timeout(ARRIVAL_LIMIT_S):
            while len(self.frames) < frames:
                if self.is_lost:
                    raise ConnectionError(f"a follower was dropped after {len(self.frames)} frames")
                self.changed.clear()
                await self.changed.wait()


class Poster(asyncio.Protocol):
    """Writes one post at a time on one connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        size = answer_size(self._buffer)
        if size is not None and len(self._buffer) >= size and self._answer is not None:
            answer, self._buffer = self._buffer[:size], b""
            self._answer.set_result(answer)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the connection was closed"))

    async def post(self, request: bytes) -> tuple[str, int]:
        """The new post's id, and when its answer was there."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        answer = await asyncio.wait_for(self._answer, ARRIVAL_LIMIT_S)
        answered_ns = time.perf_counter_ns()
        if answer[9:12] != b"201":
            raise RuntimeError(answer[:500].decode())
        return json.loads(answer.partition(b"\r\n\r\n")[2])["id"], answered_ns


async def _measure(service: Service, demo: DemoThread, count: int) -> list[Figure]:
    loop = asyncio.get_running_loop()
    path = f"/ws/forums/{demo.forum}"
    followers = [
        (await loop.create_connection(lambda: Follower(path), service.host, service.port))[1] for _ in range(count)
    ]
    for follower in followers:
        await follower.has(1)  # the snapshot
    _, poster = await loop.create_connection(Poster, service.host, service.port)
    body = json.dumps({"body": f"Is anybody there? {COUNTER.decode()}"}).encode()
    run = secrets.token_hex(4)
    template = request_bytes(
        method="POST",
        path=f"/api/v1/threads/{demo.thread}/posts",
        token=demo.token,
        body=body,
        headers={"Idempotency-Key": f"{run}-{COUNTER.decode()}"},
    )
    arrivals_ms: list[float] = []
    answers_ms: list[float] = []
    for number in range(WARM_UP + POSTS):
        before = [len(follower.frames) for follower in followers]
        began_ns = time.perf_counter_ns()
        post, answered_ns = await poster.post(template.replace(COUNTER, b"%0*d" % (len(COUNTER), number)))
        for follower, had in zip(followers, before, strict=True):
            await follower.has(had + 1)
        _check(followers, post)
        if number >= WARM_UP:
            answers_ms.append((answered_ns - began_ns) / 1e6)
            arrivals_ms += [(follower.came_ns - began_ns) / 1e6 for follower in followers]
    for follower in followers:
        follower.transport.close()
    return _figures(count, sorted(arrivals_ms), sorted(answers_ms))


def _check(followers: list[Follower], post: str) -> None:
    """Every follower got this post and nothing else."""
    for follower in followers:
        event = json.loads(follower.frames[-1])
        if event["type"] != "post.created" or event["data"]["id"] != post:
            raise AssertionError(f"expected post {post}, got {event}")


def _figures(count: int, arrivals: list[float], answers: list[float]) -> list[Figure]:
    who = "1 follower" if count == 1 else f"{count} followers"
    return [
        Figure(
            name=f"{who}, p{percent}",
            value=at_share(arrivals, percent / 100),
            unit="ms",
            limit=at_share(answers, percent / 100),
            limit_name="ms POST answered",
        )
        for percent in (50, 99)
    ]
