"""What a Disqus export holds, as values: one class for each kind of record, and one for what could not be taken."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorRecord:
    """Who wrote something. E-mail and IP addresses are personal data that nobody here needs: never kept."""

    name: str
    username: str | None = None
    is_anonymous: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryRecord:
    """A heading under which Disqus groups threads; `line` is where the element starts and takes no part in equality."""

    dsq_id: int
    forum: str
    title: str
    is_default: bool = False
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadRecord:
    """A page that people discuss. `identifier` is the site's own name for it (the inner `<id>`) and may be empty."""

    dsq_id: int
    forum: str
    identifier: str
    category: int | None = None
    link: str
    title: str
    message: str
    created_at: datetime
    is_closed: bool
    is_deleted: bool
    author: AuthorRecord
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostRecord:
    """One post; `message` is untrusted HTML, `thread` and `parent` are `dsq:id`s that may lead nowhere."""

    dsq_id: int
    identifier: str
    message: str
    created_at: datetime
    is_deleted: bool
    is_spam: bool
    author: AuthorRecord
    thread: int
    parent: int | None = None
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A record that could not be taken, and why. `kind` is its element's name, or `export` for the file as a whole."""

    kind: str
    dsq_id: int | None
    line: int
    reason: str


type Record = CategoryRecord | ThreadRecord | PostRecord | Problem
