"""Cut a stream of bytes into the stretches that should be one record each, without parsing them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from forum_backend.domain.disqus.malformed import MalformedExport

RECORD_LIMIT_BYTES: Final = 4 << 20
_LONGEST_TAG_BYTES: Final = 1 << 14
_TOKEN: Final = re.compile(
    rb"<!\[CDATA\[|<!--|<(?P<closing>/?)(?:[A-Za-z_][\w.-]*:)?(?P<name>disqus|category|thread|post)(?=[\s/>])[^<>]*>"
)
_EMPTY_REFERENCE: Final = re.compile(rb"\s*</")
_ENCODING: Final = re.compile(rb"<\?xml[^<>]{1,200}?encoding\s*=\s*[\"']([A-Za-z][A-Za-z0-9._-]{0,39})[\"']")
_UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
# A record may refer to those that stand further up in this list, and contains none of the others.
_RANK: Final = {b"category": 0, b"thread": 1, b"post": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """The bytes from a record's start tag on, the line it starts at, and what is known to be wrong with it."""

    kind: str
    line: int
    text: bytes
    fault: str | None = None


class FragmentScanner:
    """Holds at most one record and one chunk; `root`, `encoding` and `root_closed` tell what else it saw."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = next(chunks, b"")
        self._at = self._counted = 0
        self._open: tuple[bytes, int] | None = None
        self._exhausted = False
        self.line = 1
        self.root = b""
        self.root_closed = False
        found = _ENCODING.search(self._buffer, 0, 1024)
        self.encoding = found[1] if found else b"utf-8"
        if self._buffer.startswith(_UTF_16_MARKS):
            raise MalformedExport(line=1, column=1, reason="lenient reading needs UTF-8 or another superset of ASCII")

    def fragments(self) -> Iterator[Fragment]:
        while True:
            token = _TOKEN.search(self._buffer, self._at)
            if token is None:
                yield from self._too_long()
                if not self._more_after_tail():
                    break
            elif token["name"] is None:
                yield from self._section(token)
            else:
                yield from self._tag(token)
        yield from self._broken("the file ends inside this element", end=len(self._buffer))
        self._line_at(len(self._buffer))

    def _more_after_tail(self) -> bool:
        """Go on with the next chunk, and keep what may be the beginning of a tag."""
        tail = self._buffer.rfind(b"<", self._at)
        end = len(self._buffer)
        self._at = tail if tail >= 0 and end - tail < _LONGEST_TAG_BYTES else end
        return self._more()

    def _section(self, token: re.Match[bytes]) -> Iterator[Fragment]:
        """Pass over a comment or a CDATA section: tags inside it are none. One that never ends is no section."""
        closer = b"]]>" if token[0].endswith(b"[") else b"-->"
        end = self._buffer.find(closer, token.end())
        if end >= 0:
            self._at = end + 3
            return
        self._at = token.start()
        if len(self._buffer) - token.start() > RECORD_LIMIT_BYTES or not self._more():
            # _more() may have moved the buffer, so the token's own positions no longer hold.
            self._at += len(token[0])
            yield from self._broken("a comment or CDATA section in it never ends", end=self._at)

    def _tag(self, token: re.Match[bytes]) -> Iterator[Fragment]:
        name, closing, empty = token["name"], bool(token["closing"]), token[0].endswith(b"/>")
        if self._open is not None and not closing and self._refers(token, self._open[0], empty=empty):
            return
        if not closing or name == b"disqus":
            yield from self._broken(f"<{name.decode()}> comes before its end", end=token.start())
        self._at = token.end()
        if name == b"disqus":
            self.root_closed = closing
            self.root = self.root or token[0]
        elif not closing:
            self._open = (name, token.start())
        if self._open is not None and name == self._open[0] and (closing or empty):
            yield self._fragment(end=token.end())

    def _refers(self, token: re.Match[bytes], kind: bytes, *, empty: bool) -> bool:
        """Whether this start tag inside a record is a mere reference; if so, or if more bytes must tell, skip it."""
        if _RANK.get(token["name"], 9) >= _RANK[kind]:
            return False
        if not empty and len(self._buffer) - token.end() < 256 and not self._exhausted:
            self._at = token.start()
            self._more()
            return True
        if empty or _EMPTY_REFERENCE.match(self._buffer, token.end()):
            self._at = token.end()
            return True
        return False

    def _too_long(self) -> Iterator[Fragment]:
        if self._open is not None and len(self._buffer) - self._open[1] > RECORD_LIMIT_BYTES:
            yield from self._broken(f"longer than {RECORD_LIMIT_BYTES} bytes", end=self._open[1] + 256)

    def _broken(self, fault: str, *, end: int) -> Iterator[Fragment]:
        if self._open is not None:
            yield self._fragment(end=end, fault=fault)

    def _fragment(self, *, end: int, fault: str | None = None) -> Fragment:
        kind, start = self._open or (b"", 0)
        self._open = None
        text = self._buffer[start:end]
        return Fragment(kind=kind.decode(), line=self._line_at(start), text=text, fault=fault)

    def _line_at(self, position: int) -> int:
        self.line += self._buffer.count(b"\n", self._counted, position)
        self._counted = max(self._counted, position)
        return self.line

    def _more(self) -> bool:
        """Append the next chunk and drop what is done with; False at the end of the file."""
        chunk = next(self._chunks, b"")
        self._exhausted = not chunk
        keep = self._at if self._open is None else min(self._open[1], self._at)
        self._line_at(keep)
        self._buffer = self._buffer[keep:] + chunk
        self._at -= keep
        self._counted -= keep
        if self._open is not None:
            self._open = (self._open[0], self._open[1] - keep)
        return bool(chunk)
