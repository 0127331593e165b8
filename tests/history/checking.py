"""A run of the checker against a running service: writers, moves and samples in the background, then the verdict."""

import asyncio
import statistics
import threading
import uuid
from collections.abc import Coroutine
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from tests.benchmarks.figures import at_share
from tests.history import gathering
from tests.history.client import Client
from tests.history.moving import Moving
from tests.history.records import History, Kind, Status
from tests.history.sampler import Sampler
from tests.history.verdict import Problem, Verdict, judge
from tests.history.writers import Board, Writer
from tests.journeys import people
from tests.model.path import first_stray
from tests.running import Service

CALL_LIMIT_S = 300.0
THREADS = 2


class HistoryCheck:
    """`with HistoryCheck(service, seed=7) as check: …; verdict = check.verdict()`.

    Inside the `with` people write and, if asked for, forums move; do to the service what you like. ``verdict()`` stops
    them, waits until everything has settled, and judges. Servers must be up again by then.
    """

    def __init__(
        self,
        service: Service,
        *,
        seed: int,
        writers: int = 6,
        forums: int = 2,
        with_moves: bool = True,
        staff: people.Person | None = None,
    ) -> None:
        self.service, self.seed = service, seed
        self.history = History()
        self.forums: list[int] = []
        self.moving: Moving | None = None
        self.staff = staff or people.Person("history-staff", service.token("history-staff", staff=True))
        self._with_moves, self._forums_count = with_moves, forums
        self._people = [people.make_person(service) for _ in range(writers)]
        self._board = Board(run=f"op{uuid.uuid4().hex[:6]}", threads=[])
        self._clients: list[Client] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="history", daemon=True)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._make_forums()
        self.sampler = self._open.enter_context(Sampler(self.service, self.forums))
        self._thread.start()
        self._run(self._begin())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._run(self._end())
        finally:
            self._open.close()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=30)
            self._loop.close()

    def verdict(self) -> Verdict:
        """Stop the writers, wait, read, judge."""
        self._run(self._stop_writing())
        gathering.settle(self.service, self.forums)
        self._open.close()  # the sampler
        return self.judged()

    def judged(self) -> Verdict:
        """The verdict on what is there now; nobody writes any more."""
        users = [person.username for person in self._people]
        observed = self._run(gathering.gather(self.service, self._client(""), forums=self.forums, users=users))
        observed.samples = self.sampler.samples
        verdict = judge(self.history, observed)
        if self.sampler.died_of is not None:
            verdict.problems.append(Problem("sampler", repr(self.sampler.died_of)))
        self._add_moves(verdict)
        return verdict

    def strays(self) -> list[str]:
        """The steps between recorded states of the moves that the model of the protocol does not know."""
        found = []
        for move in self.moving.moves if self.moving else []:
            states, is_rollback = gathering.recorded_states(self.service, int(move["id"]))
            stray = first_stray(states, is_rollback=is_rollback)
            if stray:
                found.append(f"move {move['id']}: {stray}")
        return found

    def windows_text(self) -> str:
        """How long the moves kept writers waiting, in words."""
        windows = self.moving.windows() if self.moving else []
        if not windows:
            return "no windows"
        p50, p99 = statistics.median(windows), at_share(windows, 0.99)
        return f"windows p50 {p50:.1f}, p99 {p99:.1f}, max {windows[-1]:.1f} ms"

    def _add_moves(self, verdict: Verdict) -> None:
        if self.moving is None:
            return
        states = [move["state"] for move in self.moving.moves]
        verdict.figures |= {"moves": len(states), "of them aborted": states.count("aborted")}
        verdict.problems += [
            Problem("move", f"move {move['id']} is still {move['state']}: {move['error']}")
            for move in self.moving.moves
            if move["state"] in ("fenced", "activated")
        ]

    def _make_forums(self) -> None:
        """Forums with threads, whose first posts are operations too."""
        host = self._people[0]
        with people.client_of(self.service, host) as client:
            for _ in range(self._forums_count):
                self.forums.append(int(people.make_forum(client)["id"]))
            for number, forum in enumerate(self.forums * THREADS):
                name = f"{self._board.run}-first-{number}"
                content = {"title": "A thread", "body": name}
                operation = self.history.begin(host.username, Kind.INSERT, name, name)
                made = people.expect(client.post(f"/forums/{forum}/threads", json=content), 201)
                operation.end(Status.DONE, post=int(made["post"]["id"]))
                self._board.threads.append(int(made["id"]))

    def _client(self, token: str) -> Client:
        client = Client(self.service, self.history, token)
        self._clients.append(client)
        return client

    async def _begin(self) -> None:
        reader = self._client("")
        jobs: list[Coroutine[Any, Any, None]] = [
            Writer(
                name=person.username, number=number, seed=self.seed, client=self._client(person.token),
                reader=reader, history=self.history, board=self._board,
            ).write(self._stop)
            for number, person in enumerate(self._people)
        ]  # fmt: skip
        if self._with_moves:
            shards = [shard["name"] for shard in await self._shards()]
            staff = self._client(self.staff.token)
            self.moving = Moving(client=staff, forums=self.forums, shards=shards, seed=self.seed)
            jobs.append(self.moving.keep_moving(self._stop))
        self._tasks = [asyncio.create_task(job) for job in jobs]

    async def _shards(self) -> list[dict[str, Any]]:
        answer = await self._client(self.staff.token).ask("GET", "/shards", expected=(200,))
        items: list[dict[str, Any]] = answer.content["items"]
        return items

    async def _stop_writing(self) -> None:
        """A job that died takes the check with it."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients:
            await client.close()

    def _run[T](self, job: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(job, self._loop).result(timeout=CALL_LIMIT_S)
