"""Events are past-tense values with one codec: strict when written, lenient when read.

A stored event is small: its type, the row it is about and the few facts that consumers count with. What a
reader sees of the row (a post's text, a thread's title) is read with the row as it is now, so the history
never shows what its author has deleted or edited away.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a forum. ``subject_id`` is the row it is about (a forum's number, or a routed id)."""

    type: ClassVar[str]
    subject_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForumCreated(Event):
    type: ClassVar[str] = "forum.created"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForumUpdated(Event):
    type: ClassVar[str] = "forum.updated"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForumDeleted(Event):
    type: ClassVar[str] = "forum.deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForumImported(Event):
    """A batch of threads and posts came in from an export: whoever follows the forum loads it anew."""

    type: ClassVar[str] = "forum.imported"
    threads: int
    posts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadCreated(Event):
    type: ClassVar[str] = "thread.created"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadUpdated(Event):
    type: ClassVar[str] = "thread.updated"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadDeleted(Event):
    """The thread and its posts are gone from view; ``posts`` of them counted until now."""

    type: ClassVar[str] = "thread.deleted"
    posts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PostCreated(Event):
    type: ClassVar[str] = "post.created"
    thread_id: int
    author_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PostUpdated(Event):
    type: ClassVar[str] = "post.updated"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostDeleted(Event):
    type: ClassVar[str] = "post.deleted"
    thread_id: int
    author_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PostVoted(Event):
    """A vote changed the points of a post by ``delta``."""

    type: ClassVar[str] = "post.voted"
    author_id: int | None
    delta: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent(Event):
    """An event that a newer version wrote: passed on, never lost, counted by nobody."""

    type: ClassVar[str] = "unknown"
    name: str


EVENT_TYPES: dict[str, type[Event]] = {
    event.type: event
    for event in (
        ForumCreated, ForumUpdated, ForumDeleted, ForumImported, ThreadCreated, ThreadUpdated, ThreadDeleted,
        PostCreated, PostUpdated, PostDeleted, PostVoted,
    )
}  # fmt: skip


def encode(event: Event) -> dict[str, Any]:
    """The facts of an event as stored beside its type and subject."""
    if type(event) is not EVENT_TYPES.get(event.type):
        raise TypeError(f"{event!r} is not an event that is written")
    facts = asdict(event)
    del facts["subject_id"]
    return facts


def decode(*, type: str, subject_id: int, data: dict[str, Any]) -> Event:
    """The event of a stored row; fields it does not know are passed over, a type it does not know is kept by name."""
    kind = EVENT_TYPES.get(type)
    names = {field.name for field in fields(kind)} - {"subject_id"} if kind else set()
    if kind is None or not names <= data.keys():
        return UnknownEvent(subject_id=subject_id, name=type)
    return kind(subject_id=subject_id, **{name: data[name] for name in names})
