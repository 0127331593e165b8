"""Read what can be read of a file that is not well-formed: find where records begin and end, parse each by itself.

The records of an intact file come out as in strict reading. Junk between records is passed over; a record that is
broken, cut off or longer than `RECORD_LIMIT_BYTES` is a problem. The encoding has to be a superset of ASCII.
"""

import re
from collections.abc import Iterator
from typing import Final

from forum_backend.domain.disqus import names
from forum_backend.domain.disqus.builder import RecordBuilder
from forum_backend.domain.disqus.fragments import Fragment, FragmentScanner
from forum_backend.domain.disqus.malformed import MalformedExport
from forum_backend.domain.disqus.parser import ExportParser
from forum_backend.domain.disqus.records import Problem, Record

_PLAIN_ROOT: Final = f'<disqus xmlns="{names.DISQUS}" xmlns:dsq="{names.INTERNALS}">'.encode()
_ROOT_NAME: Final = re.compile(rb"<([^\s/>]+)")
_DSQ_ID: Final = re.compile(rb"<[^<>]*?\bid\s*=\s*[\"']?([0-9]{1,18})[\"'\s/>]")


def recovered_records(chunks: Iterator[bytes]) -> Iterator[Record]:
    """The records and problems of a file that may be broken anywhere."""
    scanner = FragmentScanner(chunks)
    builder = RecordBuilder()
    envelope: _Envelope | None = None
    for fragment in scanner.fragments():
        if envelope is None:
            envelope = _Envelope(root=scanner.root, encoding=scanner.encoding)
        yield from envelope.records(fragment, builder)
    if envelope is None and not scanner.root:
        raise MalformedExport(line=1, column=1, reason="no <disqus> element and no record in the whole file")
    if not scanner.root_closed:
        yield Problem(kind="export", dsq_id=None, line=scanner.line, reason="the file ends before </disqus>")


class _Envelope:
    """What has to stand around a fragment to make a document of it: the file's own root element, or the usual one."""

    def __init__(self, *, root: bytes, encoding: bytes) -> None:
        declaration = b'<?xml version="1.0" encoding="%s"?>' % encoding
        # The line break lets a fragment begin on a line of its own, so that its lines can be counted.
        self._before = declaration + (self._usable(declaration, root) or _PLAIN_ROOT) + b"\n"
        name = _ROOT_NAME.search(self._before, len(declaration))
        self._after = b"</%s>" % (name[1] if name else b"disqus")

    @staticmethod
    def _usable(declaration: bytes, root: bytes) -> bytes:
        """The file's own root tag, if it is well-formed; it may bind other prefixes than the usual ones."""
        parser = ExportParser(take=lambda _record: None, builder=RecordBuilder())
        name = _ROOT_NAME.match(root)
        try:
            parser.feed(declaration + root + b"</%s>" % (name[1] if name else b""), final=True)
        except MalformedExport:
            return b""
        finally:
            parser.close()
        return root.replace(b"\n", b" ")

    def records(self, fragment: Fragment, builder: RecordBuilder) -> list[Record]:
        """What the fragment holds: one record, or the problem with it."""
        if fragment.fault is not None:
            return [_problem(fragment, fragment.fault)]
        taken: list[Record] = []
        parser = ExportParser(take=taken.append, builder=builder, first_line=fragment.line - 1)
        try:
            parser.feed(self._before + fragment.text + self._after, final=True)
        except MalformedExport as error:
            return [_problem(fragment, f"{error.reason} at line {error.line}")]
        finally:
            parser.close()
        return taken


def _problem(fragment: Fragment, reason: str) -> Problem:
    found = _DSQ_ID.match(fragment.text)
    return Problem(kind=fragment.kind, dsq_id=int(found[1]) if found else None, line=fragment.line, reason=reason)
