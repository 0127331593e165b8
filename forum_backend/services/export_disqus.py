"""Writing a forum as a Disqus export: one consistent picture of it, streamed in bounded memory.

What the format has no place for stays behind: votes, pins, edits' times, fractions of seconds. A post that was written
here is exported as the HTML that readers see, one that was imported as the message it came with.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from forum_backend.domain.disqus import AuthorRecord, CategoryRecord, ExportWriter, PostRecord, ThreadRecord
from forum_backend.domain.errors import ForumMoving, NotFound, Ownership, ShardUnavailable
from forum_backend.queries.forum_read import OWNERSHIP_SQL, redirect_of_read
from forum_backend.queries.profiles import author_cards
from routers.directory import Location, directory
from routers.health import health
from routers.redirect import MAX_HOPS
from routers.refusals import is_connection_lost

PAGE: Final = 1_000
CATEGORY: Final = 1
# The own id of a row stands for the dsq:id that it has not. Should another row have come with that very number, the
# own id is lifted beyond all numbers that Disqus gives.
LIFT: Final = 1 << 62

SNAPSHOT_SQL = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
NO_TIME_LIMIT_SQL = "SET LOCAL statement_timeout = 0"  # a client that reads slowly is no reason to break off
FORUM_SQL = "SELECT slug, name FROM forum WHERE forum_id = %s AND NOT is_deleted"
TAKEN_SQL = """
SELECT own.id FROM {0} own JOIN {0} other ON other.forum_id = own.forum_id AND other.dsq_id = own.id
WHERE own.forum_id = %s AND own.dsq_id IS NULL
"""
THREADS_SQL = """
SELECT id, dsq_id, title, link, identifier, created_at, is_closed, is_deleted, author_id, guest_name, guest_username
FROM thread WHERE forum_id = %s ORDER BY id
"""
POSTS_SQL = """
SELECT p.id, p.dsq_id, CASE WHEN p.dsq_id IS NULL OR p.edited_at IS NOT NULL THEN p.html ELSE p.body END,
       p.created_at, p.is_deleted, p.is_spam, p.author_id, p.guest_name, p.guest_username,
       t.id, t.dsq_id, above.id, above.dsq_id
FROM post p JOIN thread t ON t.id = p.thread_id LEFT JOIN post above ON above.id = p.parent_id
WHERE p.forum_id = %s ORDER BY p.id
"""


def export_forum(forum_id: int, stream: BinaryIO, *, progress: Callable[[int], object] | None = None) -> int:
    """Write the forum to a binary stream; returns how many posts it has. `progress` is told the posts written so far.

    Rows and the shard's word on who owns them come from one snapshot, so a move during the export changes nothing in
    it. Raises `NotFound` for an unknown or deleted forum, `ShardUnavailable` when the server does not answer: what was
    written then lacks its end tag, so that nobody takes it for whole.
    """
    location = directory.locate(forum_id)
    for _hop in range(MAX_HOPS):
        try:
            with _snapshot(location.shard) as connection:
                following = _elsewhere(connection, forum_id, location)
                if following is None:
                    return _Export(connection, forum_id, stream, progress).write()
        except (DatabaseError, InterfaceError) as error:
            if not is_connection_lost(error):
                raise
            connections[location.shard].close()
            health.failed(location.shard)
            raise ShardUnavailable(location.shard) from error
        location = following
    raise ForumMoving(f"forum {forum_id} was not found at the end of {MAX_HOPS} redirects")


@contextmanager
def _snapshot(shard: str) -> Iterator[BaseDatabaseWrapper]:
    """A transaction that sees the shard as it is at its first query, and writes nothing."""
    health.refuse_if_down(shard)
    connection = connections[shard]
    with transaction.atomic(using=shard):
        with connection.cursor() as cursor:
            cursor.execute(SNAPSHOT_SQL)
            cursor.execute(NO_TIME_LIMIT_SQL)
        yield connection


def _elsewhere(connection: BaseDatabaseWrapper, forum_id: int, location: Location) -> Location | None:
    """Where to export from, if not from this snapshot."""
    row = _first(connection, OWNERSHIP_SQL, forum_id)
    ownership = Ownership(*row) if row else Ownership("absent", 0)
    return redirect_of_read(ownership, forum=forum_id, location=location)


class _Export:
    """One export within one snapshot."""

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        forum_id: int,
        stream: BinaryIO,
        progress: Callable[[int], object] | None,
    ) -> None:
        self._connection = connection
        self._forum_id = forum_id
        self._stream = stream
        self._progress = progress
        self._taken_threads = self._taken("thread")
        self._taken_posts = self._taken("post")

    def write(self) -> int:
        forum = _first(self._connection, FORUM_SQL, self._forum_id)
        if forum is None:
            raise NotFound("forum", self._forum_id)
        slug, name = forum
        with ExportWriter(self._stream, slug) as writer:
            writer.category(CategoryRecord(dsq_id=CATEGORY, forum=slug, title=name, is_default=True))
            for page in self._pages(THREADS_SQL):
                self._write_threads(writer, slug, page)
            posts = 0
            for page in self._pages(POSTS_SQL):
                self._write_posts(writer, page)
                posts += len(page)
                if self._progress is not None:
                    self._progress(posts)
        return posts

    def _write_threads(self, writer: ExportWriter, slug: str, page: list[tuple[Any, ...]]) -> None:
        cards = author_cards({row[8] for row in page if row[8] is not None})
        for id, dsq_id, title, link, identifier, at, is_closed, is_deleted, author, guest, username in page:
            writer.thread(
                ThreadRecord(
                    dsq_id=self._thread_number(id, dsq_id),
                    forum=slug,
                    identifier=identifier,
                    category=CATEGORY,
                    link=link,
                    title=title,
                    message="",
                    created_at=at,
                    is_closed=is_closed,
                    is_deleted=is_deleted,
                    author=_author(author, guest, username, cards),
                )
            )

    def _write_posts(self, writer: ExportWriter, page: list[tuple[Any, ...]]) -> None:
        cards = author_cards({row[6] for row in page if row[6] is not None})
        for id, dsq_id, message, at, is_deleted, is_spam, author, guest, username, *others in page:
            thread, thread_dsq, parent, parent_dsq = others
            writer.post(
                PostRecord(
                    dsq_id=self._post_number(id, dsq_id),
                    identifier="",
                    message=message,
                    created_at=at,
                    is_deleted=is_deleted,
                    is_spam=is_spam,
                    author=_author(author, guest, username, cards),
                    thread=self._thread_number(thread, thread_dsq),
                    parent=None if parent is None else self._post_number(parent, parent_dsq),
                )
            )

    def _thread_number(self, id: int, dsq_id: int | None) -> int:
        return dsq_id if dsq_id is not None else id | LIFT if id in self._taken_threads else id

    def _post_number(self, id: int, dsq_id: int | None) -> int:
        return dsq_id if dsq_id is not None else id | LIFT if id in self._taken_posts else id

    def _taken(self, table: str) -> frozenset[int]:
        """Own ids of rows which another row has as its `dsq:id`: hardly ever any."""
        with self._connection.cursor() as cursor:
            cursor.execute(TAKEN_SQL.format(table), [self._forum_id])
            return frozenset(row[0] for row in cursor.fetchall())

    def _pages(self, query: str) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a query, a page at a time from the server."""
        with self._connection.chunked_cursor() as cursor:
            cursor.execute(query, [self._forum_id])
            while page := cursor.fetchmany(PAGE):
                yield page


def _author(author: int | None, guest: str, username: str, cards: dict[int, dict[str, Any]]) -> AuthorRecord:
    """An account by the name it shows, or the guest of an import."""
    if author is not None:
        card = cards.get(author, {"display_name": "", "username": None})
        return AuthorRecord(name=card["display_name"], username=card["username"], is_anonymous=not card["username"])
    return AuthorRecord(name=guest, username=username or None, is_anonymous=not username)


def _first(connection: BaseDatabaseWrapper, query: str, forum_id: int) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(query, [forum_id])
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row
