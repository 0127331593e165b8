"""What `manage.py up` shows while it works: a progress bar on a terminal, plain lines elsewhere."""

from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Display:
    """A bar that ends when the set-up does, and lines of text above it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._console = Console(file=stream, highlight=False)
        self._bar: Progress | None = None
        self._last = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._bar.add_task("Starting", total=1.0)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def step(self, text: str, fraction: float) -> None:
        """What is being done, and how far the whole is."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], description=text, completed=fraction)
        elif text != self._last:
            self.say(f"{fraction:4.0%}  {text}")
        self._last = text

    def say(self, text: str) -> None:
        if self._console.is_terminal:
            self._console.print(text, markup=False)
        else:
            self._stream.write(f"{text}\n")
            self._stream.flush()
