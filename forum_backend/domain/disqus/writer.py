"""Write an export in Disqus' format, as other readers of it want it: prefix `dsq`, CDATA, threads before posts."""

import re
from datetime import UTC, datetime
from types import TracebackType
from typing import BinaryIO, Final, Self
from xml.sax.saxutils import escape

from forum_backend.domain.disqus import names
from forum_backend.domain.disqus.records import AuthorRecord, CategoryRecord, PostRecord, ThreadRecord

_HEADER: Final = (
    '<?xml version="1.0" encoding="utf-8"?>\n'
    f'<disqus xmlns="{names.DISQUS}" xmlns:dsq="{names.INTERNALS}" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xsi:schemaLocation="http://disqus.com/api/schemas/1.0/disqus.xsd '
    'http://disqus.com/api/schemas/1.0/disqus-internals.xsd">\n'
)
_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ORDER: Final = ("category", "thread", "post")


class ExportWriter:
    """A context manager over a binary stream: all categories, then all threads, then all posts.

    Everything is written for `forum_slug`, whatever forum the records name. Characters that XML has not are left out.
    After an error the root element stays open on purpose, so that nobody takes the torn file for a whole one.
    """

    def __init__(self, stream: BinaryIO, forum_slug: str) -> None:
        self._stream = stream
        self._forum = _element("forum", forum_slug)
        self._reached = 0

    def __enter__(self) -> Self:
        self._stream.write(_HEADER.encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._stream.write(b"</disqus>\n")

    def category(self, record: CategoryRecord) -> None:
        title = _element("title", record.title)
        self._write("category", record.dsq_id, self._forum, title, _flag("isDefault", record.is_default))

    def thread(self, record: ThreadRecord) -> None:
        self._write(
            "thread",
            record.dsq_id,
            _element("id", record.identifier),
            self._forum,
            _reference("category", record.category),
            _element("link", record.link),
            _element("title", record.title),
            f"<message>{_cdata(record.message)}</message>" if record.message else "<message/>",
            _time(record.created_at),
            _author(record.author),
            _flag("isClosed", record.is_closed),
            _flag("isDeleted", record.is_deleted),
        )

    def post(self, record: PostRecord) -> None:
        self._write(
            "post",
            record.dsq_id,
            _element("id", record.identifier),
            f"<message>{_cdata(record.message)}</message>",
            _time(record.created_at),
            _flag("isDeleted", record.is_deleted),
            _flag("isSpam", record.is_spam),
            _author(record.author),
            _reference("thread", record.thread),
            _reference("parent", record.parent),
        )

    def _write(self, kind: str, dsq_id: int, *parts: str) -> None:
        place = _ORDER.index(kind)
        if place < self._reached:
            raise ValueError(f"a {kind} after a {_ORDER[self._reached]}: readers want categories, threads, posts")
        self._reached = place
        self._stream.write(f'<{kind} dsq:id="{dsq_id}">{"".join(parts)}</{kind}>\n'.encode())


def _allowed(text: str) -> str:
    return _NOT_IN_XML.sub("", text)


def _cdata(text: str) -> str:
    # A carriage return would be read as a line feed, so it is written as a reference between two sections.
    inner = _allowed(text).replace("]]>", "]]]]><![CDATA[>").replace("\r", "]]>&#13;<![CDATA[")
    return f"<![CDATA[{inner}]]>"


def _element(name: str, text: str) -> str:
    """A text element; white space at its ends survives only in CDATA."""
    text = _allowed(text)
    if text != text.strip(names.BLANK):
        return f"<{name}>{_cdata(text)}</{name}>"
    return f"<{name}>{escape(text, {'\r': '&#13;'})}</{name}>"


def _flag(name: str, value: bool) -> str:
    return f"<{name}>{'true' if value else 'false'}</{name}>"


def _reference(name: str, target: int | None) -> str:
    return "" if target is None else f'<{name} dsq:id="{target}"/>'


def _time(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("createdAt needs a time with a zone")
    return f"<createdAt>{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z</createdAt>"


def _author(author: AuthorRecord) -> str:
    username = "" if author.username is None else _element("username", author.username)
    return f"<author>{_element('name', author.name)}{_flag('isAnonymous', author.is_anonymous)}{username}</author>"
