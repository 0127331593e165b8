"""Two streams to the target: while the constraints of one chunk are checked, the next one is on its way.

A chunk is committed only after the one before it: what its rows refer to is there by then.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self

from forum_backend.services.forum_rows import ForumTable
from workers.rebalance.copy_chunk import CHUNK, commit_chunk, fill_chunk
from workers.rebalance.flow import Flow
from workers.rebalance.progress import Progress


class Streams:
    """Used as a context: at its end nothing is on its way any more."""

    def __init__(self, flow: Flow, second: Flow) -> None:
        self._flows = [flow, second]
        self._pool = ThreadPoolExecutor(1, "commit")
        self._on_its_way: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.settle()
        finally:
            self._pool.shutdown()  # waits: no connection is closed under a commit

    def copy_chunk(self, table: ForumTable, done: Progress, *, size: int = CHUNK, is_waited_for: bool = True) -> int:
        """The next rows of a table; how many there were. ``done`` runs ahead of what is committed unless waited for."""
        flow = self._flows[0]
        rows = fill_chunk(flow, table, done, size=size, before_the_last=self.settle)
        try:
            self.settle()
        except BaseException:
            flow.undo()
            raise
        if is_waited_for:
            commit_chunk(flow, done)
        else:
            self._on_its_way = self._pool.submit(commit_chunk, flow, replace(done))
            self._flows.reverse()
        return rows

    def settle(self) -> None:
        """Wait for the chunk that is being committed; what went wrong there is raised."""
        on_its_way, self._on_its_way = self._on_its_way, None
        if on_its_way is not None:
            on_its_way.result()
