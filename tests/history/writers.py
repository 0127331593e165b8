"""Writers: each changes only its own posts, one operation after the other, and reads what it wrote."""

import asyncio
import random
from dataclasses import dataclass, field

from tests.history.client import Answer, Client
from tests.history.records import History, Kind, Operation, Status

KINDS = (Kind.INSERT, Kind.EDIT, Kind.DELETE, Kind.VOTE)
WEIGHTS = (45, 20, 8, 27)
READ_BACK = 0.4
PAUSE_S = (0.0, 0.1)


@dataclass(slots=True)
class Written:
    """A post of a writer: ``body`` is what a reader must see now."""

    name: str
    id: int
    body: str
    edits: int = 0


@dataclass
class Board:
    """What all writers share: the threads, and the posts to vote on."""

    run: str
    threads: list[int]
    posts: list[tuple[str, int]] = field(default_factory=list)


class Writer:
    """One person. Its choices follow from the seed and its number."""

    def __init__(
        self, *, name: str, number: int, seed: int, client: Client, reader: Client, history: History, board: Board
    ) -> None:
        self.name, self._number = name, number
        self._choice = random.Random(f"{seed}/{number}")
        self._client, self._reader, self._history, self._board = client, reader, history, board
        self._own: list[Written] = []
        self._inserted = 0
        self._undecided: set[str] = set()  # posts on which a lost try of ours could undo the next vote

    async def write(self, stop: asyncio.Event) -> None:
        """Until it is told to stop."""
        while not stop.is_set():
            await self.act()
            await asyncio.sleep(self._choice.uniform(*PAUSE_S))

    async def act(self) -> None:
        """One operation."""
        (kind,) = self._choice.choices(KINDS, WEIGHTS)
        place = self._choice.random()
        if kind is Kind.VOTE and self._board.posts:
            await self._vote(*self._board.posts[int(place * len(self._board.posts))])
        elif kind in (Kind.EDIT, Kind.DELETE) and self._own:
            post = self._own[int(place * len(self._own))]
            await (self._edit(post) if kind is Kind.EDIT else self._delete(post))
        else:
            await self._insert(self._board.threads[int(place * len(self._board.threads))])

    async def _insert(self, thread: int) -> None:
        self._inserted += 1
        name = f"{self._board.run}-{self._number}-{self._inserted}"
        body = f"{name} as it was written first"
        operation = self._history.begin(self.name, Kind.INSERT, name, body)
        path = f"/threads/{thread}/posts"
        answer = await self._client.ask("POST", path, expected=(201,), content={"body": body}, key=name)
        if _ended(operation, answer, done=201):
            post = Written(name, int(answer.content["id"]), body)
            operation.post = post.id
            self._own.append(post)
            self._board.posts.append((name, post.id))
            await self._read_back(post)

    async def _edit(self, post: Written) -> None:
        post.edits += 1
        body = f"{post.name} changed for the {post.edits}. time"
        operation = self._history.begin(self.name, Kind.EDIT, post.name, body, post=post.id)
        answer = await self._client.ask("PATCH", f"/posts/{post.id}", expected=(200,), content={"body": body})
        if _ended(operation, answer, done=200):
            post.body = body
            await self._read_back(post)
        if answer.may_repeat or operation.status is not Status.DONE:
            self._own.remove(post)  # nobody knows what it says, or a lost try of this could undo the next change

    async def _delete(self, post: Written) -> None:
        self._own.remove(post)
        operation = self._history.begin(self.name, Kind.DELETE, post.name, post=post.id)
        answer = await self._client.ask("DELETE", f"/posts/{post.id}", expected=(204,))
        if _ended(operation, answer, done=204):
            post.body = ""
            await self._read_back(post, is_deleted=True)

    async def _vote(self, name: str, post: int) -> None:
        """409: its writer has deleted it."""
        if name in self._undecided:
            return
        value = self._choice.choice((-1, 0, 1))
        operation = self._history.begin(self.name, Kind.VOTE, name, str(value), post=post)
        content = {"value": value}
        answer = await self._client.ask("PUT", f"/posts/{post}/vote", expected=(200, 409), content=content)
        _ended(operation, answer, done=200)
        if answer.may_repeat:
            self._undecided.add(name)

    async def _read_back(self, post: Written, *, is_deleted: bool = False) -> None:
        """Nobody else changes this post: what was acknowledged is what anybody must read now."""
        if self._choice.random() > READ_BACK:
            return
        answer = await self._reader.ask("GET", f"/posts/{post.id}", expected=(200,))
        if answer.status == 200:
            shown, wanted = (answer.content["body"], answer.content["is_deleted"]), (post.body, is_deleted)
            if shown != wanted:
                self._history.stale_reads.append(f"{post.name}: read {shown}, written was {wanted}")


def _ended(operation: Operation, answer: Answer, *, done: int) -> bool:
    """Note how it went; whether it was acknowledged."""
    if answer.is_lost:
        operation.end(Status.UNKNOWN)
    else:
        operation.end(Status.DONE if answer.status == done else Status.FAILED)
    return operation.status is Status.DONE
