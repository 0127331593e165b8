"""Read an export record by record, from a stream of any length in constant memory."""

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from forum_backend.domain.disqus.builder import RecordBuilder
from forum_backend.domain.disqus.malformed import MalformedExport
from forum_backend.domain.disqus.parser import ExportParser
from forum_backend.domain.disqus.records import Record
from forum_backend.domain.disqus.recovery import recovered_records

CHUNK_BYTES: Final = 1 << 16

type Progress = Callable[[int], object]


def read_export(stream: BinaryIO, *, lenient: bool = False, progress: Progress | None = None) -> Iterator[Record]:
    """Yield the records in the order of the file; one that cannot be taken is a `Problem` and stops nothing.

    Strict, a file that is not well-formed raises `MalformedExport` after the records before that place. Lenient, each
    record is read by itself, and those that are not well-formed become problems too. `progress` is called with the
    bytes consumed so far, after the records in them were yielded; the stream is never sought.
    """
    read = _counted(stream, progress)
    return recovered_records(read) if lenient else _strict_records(read, builder=RecordBuilder())


def check_export(stream: BinaryIO, progress: Progress | None = None) -> None:
    """Read the whole file strictly, so that an import may start only when nothing can stop it half-way.

    Raises `MalformedExport` exactly when `read_export` would; single records that cannot be taken are none of its
    business.
    """
    for _no_record in _strict_records(_counted(stream, progress), builder=None):
        raise AssertionError("unreachable")


def _counted(stream: BinaryIO, progress: Progress | None) -> Iterator[bytes]:
    """The chunks of the stream; asked for the next one, it reports that the last one is consumed."""
    consumed = 0
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk
        consumed += len(chunk)
        if progress is not None:
            progress(consumed)


def _strict_records(chunks: Iterator[bytes], *, builder: RecordBuilder | None) -> Iterator[Record]:
    ready: list[Record] = []
    parser = ExportParser(take=ready.append, builder=builder)
    try:
        for chunk in chunks:
            yield from _parsed(parser, chunk, ready, final=False)
        yield from _parsed(parser, b"", ready, final=True)
    finally:
        parser.close()


def _parsed(parser: ExportParser, chunk: bytes, ready: list[Record], *, final: bool) -> Iterator[Record]:
    """What one chunk completes; the records before an error come before the error."""
    malformed: MalformedExport | None = None
    try:
        parser.feed(chunk, final=final)
    except MalformedExport as error:
        malformed = error
    yield from ready
    ready.clear()
    if malformed is not None:
        raise malformed
