"""From a file to a forum: nothing is written, and no forum made, before the whole file was found to be readable."""

import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import BinaryIO, Final, cast

from forum_backend.data.control.accounts.models import User
from forum_backend.domain.disqus import check_export
from forum_backend.domain.errors import Invalid, NotFound
from forum_backend.queries.forums import forum_by
from forum_backend.services.forums import create_forum
from forum_backend.services.import_disqus.report import ImportReport
from forum_backend.services.import_disqus.run import import_export

CHECKING: Final = "Checking"
IMPORTING: Final = "Importing"

# Told what is being done, and how many bytes of the file that is done with.
type Progress = Callable[[str, int], object]


def import_file(
    stream: BinaryIO,
    *,
    slug: str,
    owner: str | None = None,
    lenient: bool = False,
    progress: Progress,
    now: Callable[[], datetime],
) -> ImportReport:
    """Import an export into the forum `slug`, which is made for `owner` (a username) if there is none.

    Strict, `MalformedExport` names line and column of what is wrong, and nothing is written. Lenient, what can be read
    is taken. A stream that cannot be sought (a pipe) is kept in a temporary file meanwhile.
    """
    forum = _forum(slug)
    owner_id = _owner(slug, owner) if forum is None else 0
    with _sought(stream, is_needed=not lenient) as file:
        if not lenient:
            check_export(file, progress=functools.partial(progress, CHECKING))
            file.seek(0)
        if forum is None:
            forum = int(create_forum(owner_id=owner_id, slug=slug, name=slug, now=now())["id"])
        importing = functools.partial(progress, IMPORTING)
        return import_export(file, forum_id=forum, lenient=lenient, progress=importing, now=now)


def _forum(slug: str) -> int | None:
    try:
        return forum_by(slug_or_id=slug)
    except NotFound:
        return None


def _owner(slug: str, owner: str | None) -> int:
    if owner is None:
        raise Invalid(f"There is no forum {slug!r}; name the owner of a new one with --owner USERNAME")
    found = User.objects.filter(username__iexact=owner, is_active=True).values_list("pk", flat=True).first()
    if found is None:
        raise NotFound("user", owner)
    return found


@contextmanager
def _sought(stream: BinaryIO, *, is_needed: bool) -> Iterator[BinaryIO]:
    if not is_needed or stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(stream, file)
        file.seek(0)
        yield cast(BinaryIO, file)
