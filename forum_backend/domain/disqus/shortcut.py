"""Recognise posts in the exact shape that Disqus writes, so that most posts need no walk over their elements.

One match does the work of some thirty parser callbacks. It claims nothing on its own: the same bytes still go through
the parser, which judges whether they are well-formed, and a post of any other shape is walked. Both ways give equal
raw records (tested), which one builder then judges.
"""

import re
from datetime import datetime
from typing import Final
from xml.sax.saxutils import unescape

from forum_backend.domain.disqus import names
from forum_backend.domain.disqus.builder import FIELD_LIMIT, MESSAGE_LIMIT_BYTES, RawRecord, author_of
from forum_backend.domain.disqus.records import PostRecord

# A carriage return is left to the parser, which has to turn it into a line feed.
_GAP = rb"[ \t\n]*+"
_TEXT = rb"(?:[^<&\r]++|&(?:amp|lt|gt|quot|apos);)*+"
_CDATA = rb"(?:[^\]\r]++|\](?!\]>))*+"


_TIME = rb"[0-9][0-9TZ:+.-]*+"
_BOOLEAN = rb"true|false"


def _element(tag: bytes, group: bytes, shape: bytes = _TEXT) -> bytes:
    return rb"<%s>(?P<%s>%s)</%s>%s" % (tag, group, shape, tag, _GAP)


def _passed_over(tag: bytes) -> bytes:
    return rb"(?:<%s>[^<&\r]*+</%s>%s|<%s ?/>%s)?" % (tag, tag, _GAP, tag, _GAP)


def _reference(tag: bytes) -> bytes:
    return rb'<%s dsq:id="(?P<%s>[0-9]++)" ?/>%s' % (tag, tag, _GAP)


_BOOLEANS: Final = {b"true": "true", b"false": "false"}
_POST: Final = re.compile(
    b"".join(
        (
            rb'%s<post dsq:id="(?P<dsq_id>[0-9]++)">%s' % (_GAP, _GAP),
            rb"(?:%s|<id ?/>%s)?" % (_element(b"id", b"identifier"), _GAP),
            rb"<message>(?:%s<!\[CDATA\[(?P<html>%s)\]\]>%s|(?P<escaped>%s))</message>" % (_GAP, _CDATA, _GAP, _TEXT),
            _GAP,
            _element(b"createdAt", b"created_at", _TIME),
            _element(b"isDeleted", b"is_deleted", _BOOLEAN),
            _element(b"isSpam", b"is_spam", _BOOLEAN),
            rb"<author>%s" % _GAP,
            _passed_over(b"email"),
            _element(b"name", b"name"),
            _element(b"isAnonymous", b"is_anonymous", _BOOLEAN),
            rb"(?:%s)?</author>%s" % (_element(b"username", b"username"), _GAP),
            _passed_over(b"ipAddress"),
            _reference(b"thread"),
            rb"(?:%s)?</post>" % _reference(b"parent"),
        )
    )
)


def matched_posts(data: bytes, start: int) -> list[re.Match[bytes]]:
    """The unbroken run of posts in the usual shape from `start` on."""
    run: list[re.Match[bytes]] = []
    match = _POST.match
    while found := match(data, start):
        run.append(found)
        start = found.end()
    return run


def raw_post(found: re.Match[bytes], line: int) -> RawRecord:
    """The same raw record that a walk over the elements would give."""
    dsq_id, identifier, html, escaped, created_at, deleted, spam, name, anonymous, username, thread, parent = (
        found.groups()
    )
    texts = {
        names.ID: _text(identifier),
        names.MESSAGE: _text(escaped) if html is None else html.decode(),
        names.CREATED_AT: created_at.decode(),
        names.IS_DELETED: _BOOLEANS[deleted],
        names.IS_SPAM: _BOOLEANS[spam],
        names.NAME: _text(name),
        names.IS_ANONYMOUS: _BOOLEANS[anonymous],
        names.USERNAME: _text(username) if username else "",
    }
    references: dict[str, str | None] = {names.THREAD: thread.decode()}
    if parent is not None:
        references[names.PARENT] = parent.decode()
    return RawRecord(names.POST, dsq_id.decode(), line, texts, references)


def usual_post(found: re.Match[bytes], line: int) -> PostRecord | None:
    """The record that the builder would make, without the way over a raw record; None if it has to judge."""
    dsq_id, identifier, html, escaped, created_at, deleted, spam, name, anonymous, username, thread, parent = (
        found.groups()
    )
    message = _text(escaped) if html is None else html.decode()
    inner = _text(identifier)
    at = _moment(created_at)
    numbers = (dsq_id, thread) if parent is None else (dsq_id, thread, parent)
    if at is None or len(message) * 4 > MESSAGE_LIMIT_BYTES or len(inner) > FIELD_LIMIT:
        return None
    if any(len(number) > 18 or number.startswith(b"0") for number in numbers):
        return None
    if len(name) + len(username or b"") > FIELD_LIMIT:
        return None
    return PostRecord(
        dsq_id=int(dsq_id),
        identifier=inner,
        message=message,
        created_at=at,
        is_deleted=deleted == b"true",
        is_spam=spam == b"true",
        author=author_of(_text(name), _text(username), _BOOLEANS[anonymous]),
        thread=int(thread),
        parent=None if parent is None else int(parent),
        line=line,
    )


def _moment(text: bytes) -> datetime | None:
    """A time like 2013-10-11T06:51:33Z, and no other."""
    if len(text) != 20 or text[10] != ord("T") or text[4] != ord("-") or text[7] != ord("-") or text[19] != ord("Z"):
        return None
    try:
        return datetime.fromisoformat(text.decode())
    except ValueError:
        return None


def _text(raw: bytes | None) -> str:
    if raw is None:
        return ""
    text = raw.decode()
    if "&" in text:
        text = unescape(text, {"&quot;": '"', "&apos;": "'"})
    return text.strip(names.BLANK)
