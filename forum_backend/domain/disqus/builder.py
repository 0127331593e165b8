"""Decide what a record's texts mean: the only place that says which records can be taken and which are problems.

A category or post needs what its class names without a default. A thread needs a `dsq:id` and at least one of link,
title and inner id: without any of them nobody could find it again. A thread without `createdAt` takes the time of the
thread before it, since exports list threads in the order of their creation; the first one has none to take and is a
problem. A time or a boolean that is there but unreadable is a problem: a guess would look like a fact later.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from forum_backend.domain.disqus import names
from forum_backend.domain.disqus.records import (
    AuthorRecord,
    CategoryRecord,
    PostRecord,
    Problem,
    Record,
    ThreadRecord,
)

MESSAGE_LIMIT_BYTES: Final = 1 << 20
FIELD_LIMIT: Final = 1 << 16
_LARGEST_ID: Final = (1 << 63) - 1
_BOOLEANS: Final = {"": False, "false": False, "0": False, "true": True, "1": True}


class _RecordRefusedError(Exception):
    """This record cannot be taken; the text is the reason."""


@dataclass(slots=True)
class RawRecord:
    """A record as it stands in the file: its texts by element name, and what it refers to."""

    kind: str
    dsq_id: str | None
    line: int
    texts: dict[str, str] = field(default_factory=dict)
    references: dict[str, str | None] = field(default_factory=dict)
    fault: str | None = None


class RecordBuilder:
    """Turns raw records into records; remembers only the time of the last thread."""

    def __init__(self) -> None:
        self._last_thread_at: datetime | None = None
        self._builders: dict[str, Callable[[RawRecord, int], Record]] = {
            names.POST: self._post,
            names.THREAD: self._thread,
            names.CATEGORY: self._category,
        }

    def build(self, raw: RawRecord) -> Record:
        dsq_id: int | None = None
        try:
            if raw.dsq_id is not None:
                dsq_id = _identity(raw.dsq_id, "dsq:id")
            if raw.fault is not None:
                raise _RecordRefusedError(raw.fault)
            build = self._builders.get(raw.kind)
            if build is None:
                raise _RecordRefusedError("not a category, thread or post")
            if dsq_id is None:
                raise _RecordRefusedError("no dsq:id")
            return build(raw, dsq_id)
        except _RecordRefusedError as refused:
            return Problem(kind=names.local(raw.kind), dsq_id=dsq_id, line=raw.line, reason=str(refused))

    def _category(self, raw: RawRecord, dsq_id: int) -> CategoryRecord:
        texts = raw.texts
        return CategoryRecord(
            dsq_id=dsq_id,
            forum=_short(texts, names.FORUM),
            title=_short(texts, names.TITLE),
            is_default=_boolean(texts, names.IS_DEFAULT),
            line=raw.line,
        )

    def _thread(self, raw: RawRecord, dsq_id: int) -> ThreadRecord:
        texts = raw.texts
        link, title, identifier = (_short(texts, name) for name in (names.LINK, names.TITLE, names.ID))
        if not (link.strip() or title.strip() or identifier.strip()):
            raise _RecordRefusedError("a thread with neither link nor title nor id")
        thread = ThreadRecord(
            dsq_id=dsq_id,
            forum=_short(texts, names.FORUM),
            identifier=identifier,
            category=_reference(raw, names.CATEGORY),
            link=link,
            title=title,
            message=_message(texts),
            created_at=self._thread_time(texts),
            is_closed=_boolean(texts, names.IS_CLOSED),
            is_deleted=_boolean(texts, names.IS_DELETED),
            author=_author(texts),
            line=raw.line,
        )
        self._last_thread_at = thread.created_at
        return thread

    def _thread_time(self, texts: dict[str, str]) -> datetime:
        if texts.get(names.CREATED_AT):
            return _time(texts)
        if self._last_thread_at is None:
            raise _RecordRefusedError("no createdAt, and no earlier thread to take it from")
        return self._last_thread_at

    def _post(self, raw: RawRecord, dsq_id: int) -> PostRecord:
        texts = raw.texts
        thread = _reference(raw, names.THREAD)
        if thread is None:
            raise _RecordRefusedError("no reference to a thread")
        return PostRecord(
            dsq_id=dsq_id,
            identifier=_short(texts, names.ID),
            message=_message(texts),
            created_at=_time(texts),
            is_deleted=_boolean(texts, names.IS_DELETED),
            is_spam=_boolean(texts, names.IS_SPAM),
            author=_author(texts),
            thread=thread,
            parent=_reference(raw, names.PARENT),
            line=raw.line,
        )


def _identity(text: str, what: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 19 and text[0] != "0":
        return int(text)
    digits = text.strip(names.BLANK)
    # isdigit() alone would let digits of other scripts pass, and int() underscores.
    if digits.isascii() and digits.isdigit() and len(digits) <= 19 and 0 < (value := int(digits)) <= _LARGEST_ID:
        return value
    raise _RecordRefusedError(f"{what} {text[:40]!r} is not a positive whole number of 63 bits")


def _reference(raw: RawRecord, name: str) -> int | None:
    if name not in raw.references:
        return None
    target = raw.references[name]
    what = f"the {names.local(name)} reference"
    if target is None:
        raise _RecordRefusedError(f"{what} has no dsq:id")
    return _identity(target, what)


def _short(texts: dict[str, str], name: str) -> str:
    text = texts.get(name, "")
    if len(text) > FIELD_LIMIT:
        raise _RecordRefusedError(f"{names.local(name)} is longer than {FIELD_LIMIT} characters")
    return text


def _message(texts: dict[str, str]) -> str:
    text = texts.get(names.MESSAGE, "")
    # No character takes more than four bytes, so that nearly every message is done with the first comparison.
    if len(text) * 4 > MESSAGE_LIMIT_BYTES and len(text.encode()) > MESSAGE_LIMIT_BYTES:
        raise _RecordRefusedError(f"message is longer than {MESSAGE_LIMIT_BYTES} bytes")
    return text


def _boolean(texts: dict[str, str], name: str) -> bool:
    text = texts.get(name, "")
    value = _BOOLEANS.get(text)
    if value is None:
        raise _RecordRefusedError(f"{names.local(name)} {text[:40]!r} is neither true nor false")
    return value


def _time(texts: dict[str, str]) -> datetime:
    """The moment of `createdAt` in UTC; a time without a zone is UTC, as all times of Disqus are."""
    text = texts.get(names.CREATED_AT, "")
    if not text:
        raise _RecordRefusedError("no createdAt")
    try:
        # fromisoformat() also reads week dates and bare dates, which no export holds.
        moment = datetime.fromisoformat(text) if text[10:11] == "T" and text[4:5] == "-" == text[7:8] else None
        if moment is not None and moment.tzinfo is not UTC:
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise _RecordRefusedError(f"createdAt {text[:40]!r} is not a time like 2013-10-11T06:51:33Z")
    return moment


def _author(texts: dict[str, str]) -> AuthorRecord:
    return author_of(texts.get(names.NAME, ""), texts.get(names.USERNAME, ""), texts.get(names.IS_ANONYMOUS, ""))


@lru_cache(maxsize=1024)
def author_of(name: str, username: str, anonymous: str) -> AuthorRecord:
    """Who wrote it; without `isAnonymous`, whoever has no user name is anonymous. The same people post often."""
    texts = {names.NAME: name, names.USERNAME: username, names.IS_ANONYMOUS: anonymous}
    return AuthorRecord(
        name=_short(texts, names.NAME),
        username=_short(texts, names.USERNAME) or None,
        is_anonymous=_boolean(texts, names.IS_ANONYMOUS) if anonymous else not username,
    )
