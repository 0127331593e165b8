"""What goes wrong in a command, said in one sentence: a traceback tells an operator nothing that helps."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError

from forum_backend.domain.errors import ForumError, Invalid
from routers.refusals import is_connection_lost

# As a shell says it of what Ctrl-C ended.
INTERRUPTED = 130


@contextmanager
def in_sentences() -> Iterator[None]:
    """Around a command: what it cannot do ends it with a sentence, Ctrl-C with nothing but the exit status."""
    try:
        yield
    except ForumError as error:
        raise CommandError(sentence_of(error)) from error
    except (DatabaseError, InterfaceError, psycopg.Error) as error:
        what = "A database does not answer" if is_connection_lost(error) else "A database refused"
        raise CommandError(f"{what}: {first_line(error)}") from error
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def sentence_of(error: ForumError) -> str:
    """What was wrong and, of a request that cannot be taken, what was expected instead."""
    expected = "; ".join(error.fields.values()) if isinstance(error, Invalid) else ""
    return f"{error.detail}: {expected}" if expected else error.detail


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
