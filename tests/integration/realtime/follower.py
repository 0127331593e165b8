"""A websocket client for tests: frames as values, with a time limit on each wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

LIMIT_S = 20.0


class Follower:
    """What a client got so far."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []

    async def frame(self) -> dict[str, Any]:
        frame: dict[str, Any] = orjson.loads(await asyncio.wait_for(self.socket.recv(), LIMIT_S))
        self.frames.append(frame)
        return frame

    async def until(self, number: int) -> list[int]:
        """Read until this number has come; the numbers of the events that came, all told."""
        while not self.numbers() or self.numbers()[-1] < number:
            await self.frame()
        return self.numbers()

    def numbers(self) -> list[int]:
        return [frame["number"] for frame in self.frames if frame["type"] not in ("snapshot", "error")]

    async def close_code(self) -> int | None:
        async with asyncio.timeout(LIMIT_S):
            with suppress(ConnectionClosed):
                async for message in self.socket:
                    self.frames.append(orjson.loads(message))
        return self.socket.close_code


@asynccontextmanager
async def follow(port: int, path: str, **options: Any) -> AsyncIterator[Follower]:
    async with connect(f"ws://127.0.0.1:{port}{path}", **options) as socket:
        yield Follower(socket)
