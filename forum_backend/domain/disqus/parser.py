"""Follow the elements of an export and hand over each record when it closes; keeps one record, never a tree.

Expat and not lxml: it holds nothing of what it has passed, knows its line beyond 65,535, and hands over huge texts in
pieces, so that every bound below is ours. Handlers run some thirty times a record, which is why they are terse.
"""

import re
from collections.abc import Callable
from typing import Final
from xml.parsers import expat

from forum_backend.domain.disqus import names
from forum_backend.domain.disqus.builder import MESSAGE_LIMIT_BYTES, RawRecord, RecordBuilder
from forum_backend.domain.disqus.malformed import MalformedExport
from forum_backend.domain.disqus.records import Record
from forum_backend.domain.disqus.shortcut import matched_posts, raw_post, usual_post

DEPTH_LIMIT: Final = 64
WAITING_LIMIT_BYTES: Final = 1 << 18
TOKEN_LIMIT_BYTES: Final = 1 << 20
UNKNOWN_NAMES_LIMIT: Final = 1000
_ENCODINGS: Final = frozenset(
    {"utf-8", "utf8", "utf-16", "us-ascii", "ascii", "iso-8859-1", "iso-8859-15", "windows-1251", "windows-1252"}
)
_CLOSING: Final = re.compile(rb"</(?:category|thread|post)\s*>")
_ROOT_DEPTH, _RECORD_DEPTH, _FIELD_DEPTH, _AUTHOR_DEPTH = 1, 2, 3, 4


class ExportParser:
    """Feed it bytes; it calls `take` with each record. `first_line` is the number of the first line it is fed.

    Without a builder no records are made: the same is refused, in half the time.
    """

    def __init__(self, *, take: Callable[[Record], object], builder: RecordBuilder | None, first_line: int = 1) -> None:
        self._take, self._builder, self._lines_before = take, builder, first_line - 1
        self._depth = self._fed_bytes = self._token_starts = self._cdata_end = 0
        self._raw: RawRecord | None = None
        self._field = ""
        self._in_cdata = False
        self._text: list[str] = []
        self._clear_text = self._text.clear
        self._unknown: set[str] = set()
        self._kept = b""
        self._line, self._closed_at, self._between_records = first_line, -1, False
        self._bindings: dict[str | None, str] = {}
        self._is_utf8 = True
        self._usual = False
        self._parser = self._new_parser()
        self._connect(walking=True)

    def _new_parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate(namespace_separator=names.SEPARATOR)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartNamespaceDeclHandler = self._namespace
        parser.XmlDeclHandler = self._declaration
        return parser

    def _connect(self, *, walking: bool) -> None:
        """Have the elements reported, or only their well-formedness judged."""
        parser = self._parser
        parser.StartElementHandler = self._start if walking else None
        parser.EndElementHandler = self._end if walking else None
        parser.CharacterDataHandler = self._text.append if walking else None
        parser.StartCdataSectionHandler = self._start_cdata if walking else None
        parser.EndCdataSectionHandler = self._end_cdata if walking else None

    def feed(self, chunk: bytes, *, final: bool) -> None:
        """Take the next bytes; `final` says that none follow. Raises `MalformedExport`."""
        data, at = self._kept + chunk, 0
        while at < len(data):
            if self._between_records:
                at += self._take_run(data, at)
            closing = _CLOSING.search(data, at)
            if closing is None:
                break
            tag_starts = self._fed_bytes + closing.start() - at
            self._parse(data[at : closing.end()], final=False)
            # The same bytes may stand in a comment: only a record that the parser saw close is a place to jump from.
            self._between_records = self._usual and self._closed_at == tag_starts
            at = closing.end()
        self._kept = data[at:]
        if final or not self._between_records or len(self._kept) > WAITING_LIMIT_BYTES:
            self._between_records = False
            rest, self._kept = self._kept, b""
            self._parse(rest, final=False)
        if final:
            self._parse(b"", final=True)

    def _take_run(self, data: bytes, start: int) -> int:
        """Take the posts of the usual shape from `start` on; says how many bytes they are."""
        run = matched_posts(data, start)
        if not run:
            return 0
        fed_before, line, counted = self._fed_bytes, self._line, start
        end = run[-1].end()
        malformed = None
        self._connect(walking=False)
        try:
            self._parse(data[start:end], final=False)
        except MalformedExport as error:
            malformed, end = error, start + self._parser.ErrorByteIndex - fed_before
        builder = self._builder
        for found in run:
            if builder is None or found.end() > end:
                break
            line += data.count(b"\n", counted, counted := found.start("dsq_id"))
            self._take(usual_post(found, line) or builder.build(raw_post(found, line)))
        if malformed is not None:
            raise malformed
        self._connect(walking=True)
        return end - start

    def _parse(self, chunk: bytes, *, final: bool) -> None:
        try:
            self._parser.Parse(chunk, final)
        except expat.ExpatError as error:
            reason = self._reason(error, chunk, final=final)
            raise self._malformed(reason, line=error.lineno, column=error.offset) from None
        self._fed_bytes += len(chunk)
        self._line += chunk.count(b"\n")
        self._bound_text()
        self._bound_token()

    def close(self) -> None:
        """Let go of the parser at once: its handlers and this object hold each other."""
        self._connect(walking=False)
        self._parser.StartDoctypeDeclHandler = None
        self._parser.StartNamespaceDeclHandler = None
        self._parser.XmlDeclHandler = None

    # The elements

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth = depth = self._depth + 1
        self._clear_text()
        self._in_cdata = False
        if depth == _FIELD_DEPTH:
            self._field = name
            if name in names.REFERENCES and self._raw is not None:
                self._raw.references[name] = attributes.get(names.DSQ_ID)
        elif depth == _RECORD_DEPTH:
            line = self._parser.CurrentLineNumber + self._lines_before
            self._raw = RawRecord(name, attributes.get(names.DSQ_ID), line)
        elif depth == _ROOT_DEPTH:
            self._check_root(name)
        elif self._field in names.FIELDS and self._raw is not None:
            self._raw.fault = f"{names.local(self._field)} holds an element; HTML belongs in CDATA or escaped"
        elif depth > DEPTH_LIMIT:
            raise self._malformed(f"elements nested deeper than {DEPTH_LIMIT}")
        if attributes:
            self._note(attributes)

    def _end(self, name: str) -> None:
        depth = self._depth
        self._depth = depth - 1
        if depth == _RECORD_DEPTH:
            raw, self._raw = self._raw, None
            self._closed_at = self._parser.CurrentByteIndex
            if raw is not None and self._builder is not None:
                self._take(self._builder.build(raw))
        elif name in (names.FIELDS if depth == _FIELD_DEPTH else names.AUTHOR_FIELDS):
            if self._raw is not None and (depth == _FIELD_DEPTH or self._at_author(depth)):
                self._raw.texts[name] = self._field_text()
            return
        if name not in names.KNOWN:
            self._note({name: ""})

    def _at_author(self, depth: int) -> bool:
        return depth == _AUTHOR_DEPTH and self._field == names.AUTHOR

    def _field_text(self) -> str:
        """The text just closed: exact inside CDATA, without the indentation around it or around plain text."""
        if not self._in_cdata:
            return "".join(self._text).strip(names.BLANK)
        after = "".join(self._text[self._cdata_end :])
        return "".join(self._text[: self._cdata_end]) + after.rstrip(names.BLANK)

    def _start_cdata(self) -> None:
        if not self._in_cdata:
            before = "".join(self._text).lstrip(names.BLANK)
            self._text[:] = [before] if before else []
        self._in_cdata = True

    def _end_cdata(self) -> None:
        self._cdata_end = len(self._text)

    # What is refused

    def _check_root(self, name: str) -> None:
        if name != names.ROOT:
            raise self._malformed(f"the root element is {name[:120]!r}, not disqus in the namespace {names.DISQUS}")
        self._usual = self._is_utf8 and self._bindings == {**self._bindings, **names.USUAL_BINDINGS}

    def _refuse_doctype(self, *_declaration: object) -> None:
        raise self._malformed("a DOCTYPE is refused: no export has one, and it can define entities")

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise self._malformed(f"the encoding {encoding[:40]!r} is not supported")
        self._is_utf8 = encoding is None or encoding.lower() in {"utf-8", "utf8", "us-ascii", "ascii"}

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        self._note({f"xmlns {prefix}": ""})
        if self._depth == 0:
            self._bindings[prefix] = uri or ""

    def _note(self, attributes: dict[str, str]) -> None:
        """Expat keeps every distinct name for as long as it lives: so their number is bounded."""
        if len(attributes) == 1 and names.DSQ_ID in attributes:
            return
        self._unknown.update(attributes)
        if len(self._unknown) > UNKNOWN_NAMES_LIMIT:
            raise self._malformed(f"more than {UNKNOWN_NAMES_LIMIT} unknown names")

    def _bound_text(self) -> None:
        """Called between chunks, so a text never grows by more than one chunk beyond its limit."""
        if self._depth < _FIELD_DEPTH:
            self._clear_text()
        elif sum(map(len, self._text)) > MESSAGE_LIMIT_BYTES:
            self._clear_text()
            self._cdata_end = 0
            if self._raw is not None and self._field in names.FIELDS | {names.AUTHOR}:
                self._raw.fault = f"{names.local(self._field)} is longer than {MESSAGE_LIMIT_BYTES} bytes"

    def _bound_token(self) -> None:
        position = self._parser.CurrentByteIndex
        if position >= 0:
            self._token_starts = position
        if self._fed_bytes - self._token_starts > TOKEN_LIMIT_BYTES:
            raise self._malformed(f"a tag or comment longer than {TOKEN_LIMIT_BYTES} bytes")

    def _malformed(self, reason: str, *, line: int | None = None, column: int | None = None) -> MalformedExport:
        line = self._parser.CurrentLineNumber if line is None else line
        column = self._parser.CurrentColumnNumber if column is None else column
        return MalformedExport(line=line + self._lines_before, column=column + 1, reason=reason)

    def _reason(self, error: expat.ExpatError, chunk: bytes, *, final: bool) -> str:
        told = expat.ErrorString(error.code)
        if not chunk and not self._fed_bytes:
            return "the file is empty"
        if final and not chunk:
            return f"the file ends too early ({told})"
        at = self._parser.ErrorByteIndex - self._fed_bytes
        if told == expat.errors.XML_ERROR_INVALID_TOKEN and 0 <= at < len(chunk) and not _is_utf8(chunk[at : at + 4]):
            return "not well-formed: the bytes here are not UTF-8"
        return "not well-formed: " + told.removeprefix("not well-formed ").strip("()")


def _is_utf8(few: bytes) -> bool:
    """Whether a character starts here; the last of the few may be cut off."""
    try:
        few.decode()
    except UnicodeDecodeError as error:
        return error.start > 0
    return True
