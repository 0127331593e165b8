"""How a move looks in a terminal: one line, or a bar with the states as they are reached."""

from types import TracebackType
from typing import Any, Self

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from forum_backend.domain.moves import MoveState

ORDER = [state for state in MoveState if state != MoveState.ABORTED]


def describe(move: dict[str, Any]) -> str:
    """One line for people about one move."""
    text = f"Move {move['id']}: forum {move['forum']}, {move['source']} -> {move['target']}, {move['state']}"
    if move["rows_total"]:
        text += f", {move['rows_done'] or move['rows_total']} rows"
    if move["window_ms"] is not None:
        text += f", {move['window_ms']:.1f} ms without writes"
    if move["error"]:
        text += f" ({move['error']})"
    return text


class MoveDisplay:
    """A bar on a terminal; elsewhere a line for each state."""

    def __init__(self, stdout: OutputWrapper) -> None:
        self._stdout = stdout
        self._bar: Progress | None = None
        if stdout.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=Console(highlight=False)
            )
            self._bar.add_task("Waiting for a mover", total=len(ORDER) - 1)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, move: dict[str, Any]) -> None:
        """A state that was reached."""
        if self._bar is None:
            self._stdout.write(describe(move))
            return
        reached = ORDER.index(move["state"]) if move["state"] in ORDER else 0
        self._bar.update(self._bar.task_ids[0], description=describe(move), completed=reached)
