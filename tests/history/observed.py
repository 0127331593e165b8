"""What is there at the end, as read from the databases and the API. The verdict compares it with the history."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """A post as its shard has it."""

    id: int
    thread: int
    author: int
    body: str
    is_deleted: bool
    points: int

    @property
    def name(self) -> str:
        return self.body.split(" ", 1)[0]


@dataclass(slots=True)
class ForumState:
    """One forum on the shard that owns it."""

    forum: int
    owners: list[str]
    posts: list[Row]
    votes: list[tuple[int, int, int]]  # post, user, value
    thread_counts: dict[int, int]
    last_number: int
    threads_count: int
    posts_count: int
    events: list[tuple[int, str, int]]  # number, type, subject
    waiting: int = 0  # events without a number


@dataclass(slots=True)
class User:
    """A writer: number, and the counters that others see."""

    id: int
    posts_count: int
    points: int


@dataclass(frozen=True, slots=True)
class Place:
    """What one shard said of a forum in one sample; ``stamp`` never repeats for different rows."""

    shard: str
    mode: str
    epoch: int
    stamp: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A forum's ownership on all shards, as it was at one moment."""

    forum: int
    places: tuple[Place, ...]

    @property
    def owners(self) -> list[Place]:
        return [place for place in self.places if place.mode == "owner"]


@dataclass(slots=True)
class Observed:
    """Everything."""

    forums: list[ForumState]
    users: dict[str, User]
    pages: dict[int, list[int]]  # the ids on a thread's pages
    samples: list[Sample] = field(default_factory=list)

    def rows(self) -> Iterable[Row]:
        return (row for forum in self.forums for row in forum.posts)
