"""One round of numbering on a shard: outbox rows become the next numbers of their forums, in one transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

from forum_backend.queries.history import LoggedEvent
from workers.relay.lease import Lease

BATCH = 500

# What is visible now, never "id > last": that would lose a transaction that took its id early and commits late.
WAITING_SQL = "SELECT id, forum_id FROM outbox WHERE forum_id <> ALL(%s::int[]) ORDER BY id LIMIT %s"
# No forum is entered without the lease: the row says another token then, and nothing is numbered below.
ENTER_SQL = """
WITH waiting AS MATERIALIZED (
    SELECT id, forum_id FROM outbox
    WHERE forum_id <> ALL(%(left)s::int[]) AND (SELECT token FROM relay_lease WHERE id = 1) = %(token)s
    ORDER BY id LIMIT %(batch)s
)
SELECT forum_id, forum_try_enter(forum_id), count FROM (SELECT forum_id, count(*) FROM waiting GROUP BY 1) AS forums
"""
# Rows are taken by DELETE, after their forums were entered: only what is still here then is numbered here.
NUMBER_SQL = """
WITH taken AS (
    DELETE FROM outbox WHERE id = ANY(ARRAY(
        SELECT id FROM outbox
        WHERE position(',' || forum_id || ',' IN current_setting('forum.entered', true)) > 0
        ORDER BY id LIMIT %(batch)s
    ))
    RETURNING id, forum_id, type, subject_id, data, at
), numbered AS (
    SELECT t.*, coalesce(c.last_number, 0) + row_number() OVER (PARTITION BY t.forum_id ORDER BY t.id) AS number
    FROM taken t LEFT JOIN forum_counters c ON c.forum_id = t.forum_id
), appended AS (
    INSERT INTO forum_event (id, forum_id, type, subject_id, data, at, position)
    SELECT (number << 23) | forum_id, forum_id, type, subject_id, data, at, nextval('event_position_seq')
    FROM numbered ORDER BY id
    RETURNING id, forum_id, type, subject_id, data, at, position
), counted AS (
    INSERT INTO forum_counters AS c (forum_id, last_number, threads_count, posts_count, last_post_at)
    SELECT forum_id, max(number),
        count(*) FILTER (WHERE type = 'thread.created') - count(*) FILTER (WHERE type = 'thread.deleted')
            + coalesce(sum((data->>'threads')::int) FILTER (WHERE type = 'forum.imported'), 0),
        count(*) FILTER (WHERE type = 'post.created') - count(*) FILTER (WHERE type = 'post.deleted')
            - coalesce(sum((data->>'posts')::int) FILTER (WHERE type = 'thread.deleted'), 0)
            + coalesce(sum((data->>'posts')::int) FILTER (WHERE type = 'forum.imported'), 0),
        greatest(max(at) FILTER (WHERE type = 'post.created'),
                 CASE WHEN bool_or(type = 'forum.imported')
                      THEN (SELECT max(last_post_at) FROM thread
                            WHERE thread.forum_id = numbered.forum_id AND NOT thread.is_deleted) END)
    FROM numbered GROUP BY forum_id
    ON CONFLICT (forum_id) DO UPDATE SET
        last_number = excluded.last_number,
        threads_count = c.threads_count + excluded.threads_count,
        posts_count = c.posts_count + excluded.posts_count,
        last_post_at = greatest(c.last_post_at, excluded.last_post_at)
), touched AS (
    SELECT (data->>'thread_id')::bigint AS thread_id,
        count(*) FILTER (WHERE type = 'post.created') - count(*) FILTER (WHERE type = 'post.deleted') AS posts,
        max(at) FILTER (WHERE type = 'post.created') AS last_post_at
    FROM numbered WHERE type IN ('post.created', 'post.deleted') GROUP BY 1
), projected AS (
    UPDATE thread SET posts_count = thread.posts_count + touched.posts,
                      last_post_at = greatest(thread.last_post_at, touched.last_post_at)
    FROM touched WHERE thread.id = touched.thread_id
)
SELECT id >> 23, forum_id, type, subject_id, data, at, position FROM appended ORDER BY position
"""


@dataclass(frozen=True, slots=True)
class Positioned:
    """A numbered event and its place among all events that this shard's relay has appended."""

    event: LoggedEvent
    position: int


@dataclass(frozen=True, slots=True)
class Round:
    """What one transaction did: the events it numbered, the forums it had to leave, whether more may be waiting."""

    events: list[Positioned]
    left: frozenset[int]
    is_more: bool
    is_unannounced: bool


def number_waiting(
    connection: psycopg.Connection[Any], lease: Lease, *, left: Iterable[int], batch: int = BATCH
) -> Round:
    """Number up to ``batch`` waiting events of forums not in ``left``; a forum that cannot be entered is left too."""
    asked = {"left": sorted(left), "token": lease.token, "batch": batch}
    # In a pipeline: the whole transaction is one round trip.
    with connection.pipeline(), connection.transaction():
        held = lease.hold(connection)
        entered = connection.execute(ENTER_SQL, asked)
        numbered = connection.execute(NUMBER_SQL, asked)
    is_unannounced = lease.is_unannounced(held)
    forums = entered.fetchall()
    refused = {forum for forum, is_entered, _waiting in forums if not is_entered}
    is_more = sum(waiting for _forum, _is_entered, waiting in forums) == batch
    return Round([positioned(row) for row in numbered], frozenset(left) | refused, is_more, is_unannounced)


def positioned(row: tuple[Any, ...]) -> Positioned:
    """From a row (number, forum, type, subject, data, at, position)."""
    number, forum, type_, subject, data, at, position = row
    event = LoggedEvent(forum_id=forum, number=number, type=type_, subject_id=subject, data=data, at=at)
    return Positioned(event, position)
