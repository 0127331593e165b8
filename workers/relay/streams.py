"""The names and fields of the Redis streams that the relay fills."""

from datetime import datetime
from typing import Any

import orjson
import redis
from django.conf import settings

from forum_backend.queries.history import LoggedEvent, logged
from forum_backend.queries.streams import GENERATION_KEY, stream_of

MAX_LENGTH = 20_000
REDIS_TIMEOUT_S = 2.0

__all__ = ["GENERATION_KEY", "MAX_LENGTH", "connect", "event_of", "fields_of", "stream_of"]


def connect(*, blocking_s: float = 0.0) -> redis.Redis:
    """A client whose sockets wait longer than its blocking commands do, and never for ever."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=REDIS_TIMEOUT_S + blocking_s,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        health_check_interval=0,
    )


def fields_of(event: LoggedEvent, *, payload: dict[str, Any]) -> dict[Any, Any]:
    """A stream entry: what readers see, and beside it the bare facts, which stay true when a row has changed since."""
    facts = [event.subject_id, event.data, event.at]
    return {
        "forum": event.forum_id,
        "number": event.number,
        "type": event.type,
        "payload": orjson.dumps(payload),
        "facts": orjson.dumps(facts),
    }


def event_of(fields: dict[bytes, bytes]) -> LoggedEvent:
    """The stored event behind a stream entry."""
    subject, data, at = orjson.loads(fields[b"facts"])
    row = (int(fields[b"number"]), int(fields[b"forum"]), fields[b"type"].decode(), subject, data)
    return logged((*row, datetime.fromisoformat(at)))
