"""`manage.py export_disqus FORUM`: write a forum in Disqus' export format, to standard output or into a file."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from forum_backend.commands.sentences import in_sentences
from forum_backend.queries.forums import forum_by
from forum_backend.services.export_disqus import export_forum


class Command(BaseCommand):
    help = "Write a forum's threads and posts as Disqus' export XML, as they are at one moment."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("forum", help="The forum's slug or number.")
        parser.add_argument("--output", metavar="FILE", help="Write here; the file appears when it is whole.")

    @in_sentences()
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            forum = forum_by(slug_or_id=options["forum"])
            with _output(options["output"]) as stream:
                posts = export_forum(forum, stream)
        except BrokenPipeError as error:
            raise CommandError("The reader of the export went away") from error
        except OSError as error:
            raise CommandError(f"{options['output'] or 'standard output'}: {error.strerror or error}") from error
        self.stderr.write(f"{posts} posts written")


@contextmanager
def _output(name: str | None) -> Iterator[BinaryIO]:
    """Standard output, or a file under another name until it is whole."""
    if name is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = Path(f"{name}.part")
    try:
        with part.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(name)
    finally:
        part.unlink(missing_ok=True)
