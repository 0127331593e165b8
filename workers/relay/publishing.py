"""Telling Redis what was numbered: at least once, in order, and caught up from the log after Redis was away."""

import logging
import time
from collections.abc import Sequence
from typing import Any

import psycopg
import redis

from forum_backend.queries.events import public_events
from forum_backend.queries.history import LoggedEvent, logged
from workers.relay import streams
from workers.relay.lease import Lease
from workers.relay.numbering import Positioned, positioned

logger = logging.getLogger(__name__)

PAGE = 500
PAUSE_S = 1.0
ANNOUNCED_EVENTS = 100

BACKLOG_SQL = """
SELECT id >> 23, forum_id, type, subject_id, data, at, position FROM forum_event
WHERE position > %s ORDER BY position LIMIT %s
"""
UNANNOUNCED_SQL = "SELECT forum_id, epoch FROM ownership WHERE NOT is_announced AND mode = 'owner' LIMIT 100"
LAST_EVENTS_SQL = """
SELECT e.id >> 23, e.forum_id, e.type, e.subject_id, e.data, e.at
FROM forum_counters c, generate_series(greatest(1, c.last_number - %(count)s + 1), c.last_number) AS n
JOIN forum_event e ON e.id = (n << 23) | %(forum)s
WHERE c.forum_id = %(forum)s ORDER BY e.id
"""


class Publisher:
    """One shard's way to Redis. While Redis is away it only notes that it is behind; the log keeps what it owes."""

    def __init__(self, shard: str) -> None:
        self._shard = shard
        self._redis = streams.connect()
        self._is_behind = True  # until the log has been looked at: an earlier relay may have died in between
        self._silent_until = 0.0

    def close(self) -> None:
        self._redis.close()

    def publish(self, connection: psycopg.Connection[Any], lease: Lease, events: Sequence[Positioned]) -> None:
        """Send these, or if something older is owed, that first. Raises nothing for an absent Redis."""
        if time.monotonic() < self._silent_until:
            self._is_behind = self._is_behind or bool(events)
            return
        try:
            if self._is_behind:
                self._catch_up(connection, lease)
            elif events:
                self._send(lease, events)
        except redis.RedisError as error:
            self._rest("Redis did not take events; numbering goes on and they follow later", type(error).__name__)

    def announce(self, connection: psycopg.Connection[Any]) -> None:
        """Publish again the last events of forums that have just moved here, so that nobody misses the seam."""
        if time.monotonic() < self._silent_until:
            return
        try:
            for forum, epoch in connection.execute(UNANNOUNCED_SQL).fetchall():
                rows = connection.execute(LAST_EVENTS_SQL, {"forum": forum, "count": ANNOUNCED_EVENTS}).fetchall()
                self._add([logged(row) for row in rows])
                connection.execute("SELECT forum_announced(%s, %s)", [forum, epoch])
        except redis.RedisError as error:
            self._rest("Redis did not take an announcement; it is made again later", type(error).__name__)

    def fail(self) -> None:
        """Something unforeseen came between: look at the log before anything newer is sent, after a pause."""
        self._is_behind = True
        self._silent_until = time.monotonic() + PAUSE_S

    def _rest(self, sentence: str, error: str) -> None:
        self.fail()
        logger.warning(sentence, extra={"action": "publish", "shard": self._shard, "error": error})

    def _catch_up(self, connection: psycopg.Connection[Any], lease: Lease) -> None:
        """At most a few pages a call, so that numbering is not held up by a long absence."""
        for _page in range(4):
            rows = connection.execute(BACKLOG_SQL, [lease.published, PAGE]).fetchall()
            self._send(lease, [positioned(row) for row in rows])
            if len(rows) < PAGE:
                self._is_behind = False
                return

    @property
    def is_behind(self) -> bool:
        """Whether there is something to send that can be sent now."""
        return self._is_behind and time.monotonic() >= self._silent_until

    def _send(self, lease: Lease, events: Sequence[Positioned]) -> None:
        if events:
            self._add([sent.event for sent in events])
            lease.published = events[-1].position

    def _add(self, events: Sequence[LoggedEvent]) -> None:
        payloads = public_events(self._shard, events)
        with self._redis.pipeline(transaction=False) as pipeline:
            for event, payload in zip(events, payloads, strict=True):
                fields = streams.fields_of(event, payload=payload)
                pipeline.xadd(streams.stream_of(self._shard), fields, maxlen=streams.MAX_LENGTH, approximate=True)
            pipeline.execute()
