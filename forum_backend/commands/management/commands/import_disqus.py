"""`manage.py import_disqus FILE --forum SLUG`: take the threads and posts of a Disqus export into a forum."""

import json
import os
import sys
from typing import Any, BinaryIO, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from forum_backend.commands.sentences import in_sentences
from forum_backend.domain.errors import ForumError
from forum_backend.services.import_disqus import ImportReport, Remark, import_file

REMARKS_SHOWN = 50


class Command(BaseCommand):
    help = (
        "Import Disqus' export XML. The whole file is checked first; may be run again without doubling anything. "
        "Exits with 0 also when single records were left out: the report names them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="The export; - for standard input (kept in a temporary file meanwhile).")
        parser.add_argument("--forum", required=True, metavar="SLUG", help="The forum to import into.")
        parser.add_argument("--owner", metavar="USERNAME", help="Make the forum for this user if it does not exist.")
        parser.add_argument(
            "--lenient", action="store_true", help="Take what can be read of a file that is not well-formed."
        )
        parser.add_argument("--json", action="store_true", help="Print the report as one JSON object.")

    @in_sentences()
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with _opened(options["file"]) as stream, _Bar(sys.stderr, _size_of(stream)) as bar:
                report = import_file(
                    stream,
                    slug=options["forum"],
                    owner=options["owner"],
                    lenient=options["lenient"],
                    progress=bar.show,
                    now=timezone.now,
                )
        except ForumError as error:
            raise CommandError(f"{options['file']}: {error}") from error
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror or error}") from error
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(), ensure_ascii=False))
        else:
            self.stdout.write("\n".join(_lines(report)))


def _opened(name: str) -> BinaryIO:
    # closefd: leaving the block must not close the process's own standard input.
    return open(sys.stdin.fileno(), "rb", closefd=False) if name == "-" else open(name, "rb")


def _size_of(stream: BinaryIO) -> int | None:
    return os.fstat(stream.fileno()).st_size or None


class _Bar:
    """A progress bar by bytes on a terminal, nothing elsewhere."""

    def __init__(self, stream: TextIO, size: int | None) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        console = Console(file=stream)
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._size = size
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def show(self, doing: str, consumed: int) -> None:
        if doing not in self._tasks:
            self._tasks[doing] = self._progress.add_task(doing, total=self._size)
        self._progress.update(self._tasks[doing], completed=consumed)


def _lines(report: ImportReport) -> list[str]:
    """The report for people."""
    shown = [_line(remark) for remark in report.problems[:REMARKS_SHOWN]]
    hidden = report.left_out + report.changed - len(shown)
    return [
        f"Threads: {report.threads_taken} taken, {report.threads_already_there} already there",
        f"Posts: {report.posts_taken} taken, {report.posts_already_there} already there",
        f"Records left out: {report.left_out}, taken with a change: {report.changed}",
        *shown,
        *([f"  … and {hidden} more (--json lists up to 1000)"] if hidden else []),
    ]


def _line(remark: Remark) -> str:
    number = "" if remark.dsq_id is None else f" {remark.dsq_id}"
    return f"  line {remark.line}, {remark.kind}{number}: {remark.reason}"
