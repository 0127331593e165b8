"""The course of an import: read ahead of the database by a bounded number of batches, then settle what waited."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import BinaryIO, Final, Self

from django.db import connections

from forum_backend.domain.disqus import Record, read_export
from forum_backend.domain.errors import Unavailable
from forum_backend.services.forum_write import forum_write
from forum_backend.services.import_disqus.batches import Batch, batches
from forum_backend.services.import_disqus.report import ImportReport
from forum_backend.services.import_disqus.waiting import WaitingPosts
from forum_backend.services.import_disqus.writing import Written, write_batch

logger = logging.getLogger(__name__)

# While one batch is in its transaction, the next one is read: the database and this process work at the same time.
_AHEAD: Final = 2
_ATTEMPTS: Final = 6
_WAITING_ROUNDS: Final = 10


def import_export(
    stream: BinaryIO,
    *,
    forum_id: int,
    lenient: bool = False,
    progress: Callable[[int], object] | None = None,
    now: Callable[[], datetime],
) -> ImportReport:
    """Take the threads and posts of an export into a forum, batch by batch, also while the forum moves.

    Batches are committed as they are done: an import that was cut off is finished by another one of the same file.
    A post that stands before its thread or parent waits until the end of the file. Strict, `MalformedExport` comes
    after the records before it were taken: check the file first. `progress` is called with the bytes consumed.
    """
    report = ImportReport(forum=forum_id)
    with _Writer(forum_id, report, now) as writer, WaitingPosts() as waiting:
        writer.write(read_export(stream, lenient=lenient, progress=progress), waiting)
        _settle(writer, waiting)
    return report


def _settle(writer: "_Writer", waiting: WaitingPosts) -> None:
    """Look for the threads and parents of waiting posts again while that finds some; then do without."""
    for _round in range(_WAITING_ROUNDS):
        before = waiting.count
        if before == 0:
            return
        writer.write(waiting.drain(), waiting)
        if waiting.count == before:
            break
    writer.write(waiting.drain(), waiting, is_last=True)


class _Writer:
    """Writes batches in a thread of its own, in their order; at most `_AHEAD` of them exist at a time."""

    def __init__(self, forum_id: int, report: ImportReport, now: Callable[[], datetime]) -> None:
        self._forum_id = forum_id
        self._report = report
        self._now = now
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="import")
        self._pending: deque[Future[Written]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for future in self._pending:
            future.cancel()
        self._pool.submit(_close_connections)
        self._pool.shutdown()

    def write(self, records: Iterable[Record], waiting: WaitingPosts, *, is_last: bool = False) -> None:
        """Write all the records; posts that could not be placed go to `waiting`."""
        for batch in batches(records, is_last=is_last):
            while len(self._pending) >= _AHEAD:
                self._take_result(waiting)
            self._pending.append(self._pool.submit(self._write_batch, batch))
        while self._pending:
            self._take_result(waiting)

    def _take_result(self, waiting: WaitingPosts) -> None:
        written = self._pending.popleft().result()
        self._count(written)
        waiting.add(written.waiting)

    def _count(self, written: Written) -> None:
        report = self._report
        report.threads_taken += written.threads_taken
        report.posts_taken += written.posts_taken
        report.threads_already_there += written.threads_already_there
        report.posts_already_there += written.posts_already_there
        report.remark(written.remarks)

    def _write_batch(self, batch: Batch) -> Written:
        """The batch in its transaction; again after a pause while the forum or its server cannot be had."""
        for attempt in range(_ATTEMPTS):
            try:
                return forum_write(self._forum_id, lambda forum: write_batch(forum, batch, now=self._now()))
            except Unavailable as unavailable:
                if attempt == _ATTEMPTS - 1:
                    raise
                logger.warning(
                    "An import waits for its forum",
                    extra={"action": "import", "forum": self._forum_id, "error": type(unavailable).__name__},
                )
                time.sleep(unavailable.retry_after_s)
        raise AssertionError("unreachable")


def _close_connections() -> None:
    for connection in connections.all(initialized_only=True):
        connection.close()
