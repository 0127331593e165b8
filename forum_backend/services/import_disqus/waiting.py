"""Posts that stand in the file before their thread or parent wait on disk, so that memory stays bounded."""

import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from types import TracebackType
from typing import IO, Any, Self

import orjson

from forum_backend.domain.disqus import AuthorRecord, PostRecord
from forum_backend.services.import_disqus.batches import SafePost


class WaitingPosts:
    """A temporary file of posts, in the order they were added; gone when the block ends."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the block ends
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, posts: Iterable[SafePost]) -> None:
        for post in posts:
            self._file.write(orjson.dumps(post.record, option=orjson.OPT_APPEND_NEWLINE))
            self.count += 1

    def drain(self) -> Iterator[PostRecord]:
        """All that were added so far. What is added from now on waits for the next call."""
        drained, self.count = self._file, 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - as above; the other one is closed by its reader
        return _records(drained)


def _records(file: IO[bytes]) -> Iterator[PostRecord]:
    with file:
        file.seek(0)
        for line in file:
            yield _record(orjson.loads(line))


def _record(facts: dict[str, Any]) -> PostRecord:
    author = AuthorRecord(**facts.pop("author"))
    return PostRecord(**facts | {"author": author, "created_at": datetime.fromisoformat(facts["created_at"])})
