"""Write one batch in one transaction: look up what is there, place what is new, COPY it in, count it, record it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import connections
from django.db.backends.utils import CursorWrapper

from forum_backend.domain.disqus import PostRecord, ThreadRecord
from forum_backend.domain.errors import NotFound
from forum_backend.domain.events import ForumImported
from forum_backend.domain.ids import FORUM_BITS, MAX_FORUM_NUMBER
from forum_backend.services import outbox
from forum_backend.services.forum_write import OpenForum
from forum_backend.services.import_disqus.batches import Batch, SafePost, cuts, names_of, title_of
from forum_backend.services.import_disqus.report import Remark
from forum_backend.services.import_disqus.tree import Place, PlacedPost, Tree

# The row lock keeps two imports into one forum apart; posting goes on beside it, for it does not lock out key shares.
OPEN_SQL = "SELECT FROM forum WHERE forum_id = %s AND NOT is_deleted FOR NO KEY UPDATE"
IDS_SQL = "SELECT (nextval('routed_id_seq') << %s) | %s FROM generate_series(1, %s)"
# Bounds and an order that the index on (forum_id, dsq_id) serves best. With plain equality a planner that knows nothing
# of this forum yet may choose another index, and would read the whole forum for each batch.
FOUND_SQL = """
SELECT found.* FROM unnest(%s::bigint[]) AS wanted (number) CROSS JOIN LATERAL (
    SELECT dsq_id, created_at, id, {columns} FROM {table}
    WHERE forum_id = %s AND dsq_id >= wanted.number AND dsq_id <= wanted.number ORDER BY dsq_id LIMIT 1
) AS found
"""
THREADS_SQL = FOUND_SQL.format(table="thread", columns="is_deleted")
POSTS_SQL = FOUND_SQL.format(table="post", columns="thread_id, path")
# An export of this very forum names rows that never were imported by their own ids.
OWN_THREADS_SQL = """
SELECT id, created_at, id, is_deleted FROM thread WHERE forum_id = %s AND id = ANY(%s) AND dsq_id IS NULL
"""
OWN_POSTS_SQL = """
SELECT id, created_at, id, thread_id, path FROM post WHERE forum_id = %s AND id = ANY(%s) AND dsq_id IS NULL
"""
COPY_THREADS_SQL = """
COPY thread (id, forum_id, dsq_id, title, link, identifier, guest_name, guest_username, created_at, last_post_at,
             is_closed, is_deleted, is_pinned, posts_count) FROM STDIN
"""
COPY_POSTS_SQL = """
COPY post (id, forum_id, dsq_id, thread_id, parent_id, path, body, html, guest_name, guest_username, created_at,
           is_deleted, is_spam) FROM STDIN
"""
# In the order of their ids, so that those who count the same threads wait for each other in one direction only.
LOCK_THREADS_SQL = "SELECT FROM thread WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
COUNT_SQL = """
UPDATE thread SET posts_count = thread.posts_count + new.posts,
                  last_post_at = greatest(thread.last_post_at, new.last_post_at)
FROM unnest(%s::bigint[], %s::int[], %s::timestamptz[]) AS new (id, posts, last_post_at) WHERE thread.id = new.id
"""


@dataclass(slots=True)
class Written:
    """What one transaction did; `waiting` are the posts that it could not place yet."""

    threads_taken: int = 0
    posts_taken: int = 0
    threads_already_there: int = 0
    posts_already_there: int = 0
    waiting: list[SafePost] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


class _Found(NamedTuple):
    """Rows by the `dsq:id` under which an export names them, and those of them that the batch need not write."""

    rows: dict[int, tuple[Any, ...]]
    there: set[int]


def write_batch(forum: OpenForum, batch: Batch, *, now: datetime) -> Written:
    """Inside a transaction of the forum: take what is not there. Again with the same batch it takes nothing."""
    connection = connections[forum.shard]
    with connection.cursor() as cursor, connection.wrap_database_errors:
        cursor.execute(OPEN_SQL, [forum.forum_id])
        if cursor.rowcount == 0:
            raise NotFound("forum", forum.forum_id)
        return _BatchWriter(cursor, forum, batch).write(now)


class _BatchWriter:
    """One batch in one attempt."""

    def __init__(self, cursor: CursorWrapper, forum: OpenForum, batch: Batch) -> None:
        self._cursor = cursor
        self._forum = forum
        self._batch = batch
        self._written = Written(remarks=list(batch.remarks))
        self._threads: dict[int, int] = {}
        self._deleted_threads: set[int] = set()

    def write(self, now: datetime) -> Written:
        threads = self._write_threads()
        posts = self._write_posts()
        if self._written.threads_taken or self._written.posts_taken:
            event = ForumImported(subject_id=self._forum.forum_id, threads=threads, posts=posts)
            outbox.record(self._forum, event, now=now)
        return self._written

    def _write_threads(self) -> int:
        """Write the new threads; says how many of them readers see."""
        records = {record.dsq_id: record for record in reversed(self._batch.threads)}  # the first of equals wins
        wanted = records.keys() | {post.record.thread for post in self._batch.posts}
        found = self._find(THREADS_SQL, OWN_THREADS_SQL, wanted, records)
        new = [record for record in reversed(records.values()) if record.dsq_id not in found.there]
        self._threads = {dsq_id: row[0] for dsq_id, row in found.rows.items()}
        self._deleted_threads = {row for row, is_deleted in found.rows.values() if is_deleted}
        ids = list(self._ids(len(new)))
        forum = self._forum.forum_id
        self._copy(COPY_THREADS_SQL, (_thread_row(row, forum, record) for row, record in zip(ids, new, strict=True)))
        self._threads |= {record.dsq_id: row for row, record in zip(ids, new, strict=True)}
        self._deleted_threads |= {row for row, record in zip(ids, new, strict=True) if record.is_deleted}
        self._written.remarks += [remark for record in new for remark in cuts(record)]
        self._written.threads_taken = len(new)
        self._written.threads_already_there = len(self._batch.threads) - len(new)
        return sum(not record.is_deleted for record in new)

    def _write_posts(self) -> int:
        """Write the new posts that have a place; says how many of them readers see."""
        records = {post.record.dsq_id: post for post in reversed(self._batch.posts)}
        parents = {post.record.parent for post in self._batch.posts if post.record.parent is not None}
        found = self._find(
            POSTS_SQL, OWN_POSTS_SQL, records.keys() | parents, {key: post.record for key, post in records.items()}
        )
        new = [post for post in reversed(records.values()) if post.record.dsq_id not in found.there]
        # A post that is new under an id which another row has here must not be taken for that row by its replies.
        known = {key: Place(*row) for key, row in found.rows.items() if key in found.there or key not in records}
        tree = Tree(self._threads, known, self._ids(len(new)))
        tree.place(new, is_last=self._batch.is_last)
        self._copy(COPY_POSTS_SQL, (_post_row(self._forum.forum_id, placed) for placed in tree.placed))
        self._written.posts_taken = len(tree.placed)
        self._written.posts_already_there = len(self._batch.posts) - len(new)
        self._written.waiting = tree.waiting
        self._written.remarks += tree.remarks
        self._written.remarks += [remark for placed in tree.placed for remark in cuts(placed.post.record)]
        return self._count(tree.placed)

    def _copy(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        with self._cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def _count(self, posts: list[PlacedPost]) -> int:
        """Add the visible posts to their threads, which the relay leaves to us; says how many count in the forum."""
        counts: dict[int, tuple[int, datetime]] = {}
        counted = 0
        for placed in posts:
            record, thread = placed.post.record, placed.place.thread_id
            if record.is_deleted or record.is_spam:
                continue
            posts_before, last_before = counts.get(thread, (0, record.created_at))
            counts[thread] = (posts_before + 1, max(last_before, record.created_at))
            counted += thread not in self._deleted_threads
        if counts:
            self._cursor.execute(LOCK_THREADS_SQL, [list(counts)])
            added, last = zip(*counts.values(), strict=True)
            self._cursor.execute(COUNT_SQL, [list(counts), list(added), list(last)])
        return counted

    def _find(
        self, query: str, own_query: str, wanted: set[int], records: dict[int, ThreadRecord] | dict[int, PostRecord]
    ) -> _Found:
        forum = self._forum.forum_id
        own = [id for id in wanted if id & MAX_FORUM_NUMBER == forum and id > MAX_FORUM_NUMBER]
        rows: dict[int, tuple[Any, ...]] = {}
        there: set[int] = set()
        if own:
            self._cursor.execute(own_query, [forum, own])
            for key, created_at, *row in self._cursor.fetchall():
                rows[key] = tuple(row)
                # Another installation's forum may have had this number: then the same id is another row.
                if key in records and _is_same_second(records[key].created_at, created_at):
                    there.add(key)
        if wanted:
            self._cursor.execute(query, [list(wanted), forum])
            for key, _created_at, *row in self._cursor.fetchall():
                rows[key] = tuple(row)
                there.add(key)
        return _Found(rows, there)

    def _ids(self, count: int) -> Iterator[int]:
        if count == 0:
            return iter(())
        self._cursor.execute(IDS_SQL, [FORUM_BITS, self._forum.forum_id, count])
        return iter([row[0] for row in self._cursor.fetchall()])


def _is_same_second(exported: datetime, kept: datetime) -> bool:
    return exported.astimezone(UTC).replace(microsecond=0) == kept.astimezone(UTC).replace(microsecond=0)


def _thread_row(row: int, forum: int, record: ThreadRecord) -> tuple[Any, ...]:
    at = record.created_at
    texts = (title_of(record), record.link, record.identifier, *names_of(record.author))
    return (row, forum, record.dsq_id, *texts, at, at, record.is_closed, record.is_deleted, False, 0)


def _post_row(forum: int, placed: PlacedPost) -> tuple[Any, ...]:
    """Path and time are written as text here, which takes a fifth of the time that the driver's own way takes."""
    (record, html), place, parent = placed
    path = f"{{{','.join(map(str, place.path))}}}"
    at = record.created_at.isoformat()
    names = names_of(record.author)
    return (
        place.id, forum, record.dsq_id, place.thread_id, parent, path, record.message, html, *names, at,
        record.is_deleted, record.is_spam,
    )  # fmt: skip
