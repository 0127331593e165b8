"""Keeps forums moving to and fro through the API, and remembers how each move went."""

import asyncio
import random
from typing import Any

from tests.history.client import Client

# The target owns the forum and everybody knows, or the move is over.
SETTLED = frozenset({"departed", "reversible", "cleaned", "aborted"})
LOOK_S = 0.05
SETTLE_LIMIT_S = 90.0
PAUSE_S = 0.2


class Moving:
    """Moves one forum after the other, each to another shard; its choices follow from the seed."""

    def __init__(self, *, client: Client, forums: list[int], shards: list[str], seed: int) -> None:
        self._client, self._forums, self._shards = client, forums, shards
        self._choice = random.Random(f"{seed}/moves")
        self.moves: list[dict[str, Any]] = []
        self.refused = 0

    async def keep_moving(self, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            await self._move(self._forums[number % len(self._forums)], number)
            number += 1
            await asyncio.sleep(PAUSE_S)

    async def _move(self, forum: int, number: int) -> None:
        there = await self._client.ask("GET", f"/forums/{forum}", expected=(200,))
        if there.status != 200:
            return
        target = self._choice.choice([shard for shard in self._shards if shard != there.content["shard"]])
        wanted = {"forum": str(forum), "target": target}
        asked = await self._client.ask("POST", "/moves", expected=(202, 409), content=wanted, key=f"{forum}-{number}")
        if asked.status == 202:
            self.moves.append(await self._settled(asked.content))
        else:
            self.refused += 1

    async def _settled(self, move: dict[str, Any]) -> dict[str, Any]:
        """Its last shape; one that does not come to an end is left behind for the verdict to judge."""
        try:
            async with asyncio.timeout(SETTLE_LIMIT_S):
                while move["state"] not in SETTLED:
                    await asyncio.sleep(LOOK_S)
                    answer = await self._client.ask("GET", f"/moves/{move['id']}", expected=(200,))
                    move = answer.content if answer.status == 200 else move
        except TimeoutError:
            return move
        return move

    def windows(self) -> list[float]:
        """How long each move was without writes, shortest first."""
        return sorted(move["window_ms"] for move in self.moves if move["window_ms"] is not None)
