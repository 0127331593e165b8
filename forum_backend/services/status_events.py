"""Recording what happens to the fleet: gap-free numbers under one row lock, published after the commit."""

import json
import logging
import time
from datetime import datetime
from typing import Any

import redis
from django.conf import settings
from django.db import connections, transaction

from forum_backend.data.control.moves.models import StatusEvent
from forum_backend.queries.status import status_shape
from forum_backend.queries.streams import STATUS_STREAM

logger = logging.getLogger(__name__)

STREAM_LENGTH = 10_000
_PAUSE_AFTER_FAILURE_S = 1.0
_NEXT_NUMBER = (
    "INSERT INTO status_counter (id, last_number) VALUES (1, 1) "
    "ON CONFLICT (id) DO UPDATE SET last_number = status_counter.last_number + 1 RETURNING last_number"
)


def record_status(*, type: str, data: dict[str, Any], now: datetime, move_id: int | None = None) -> StatusEvent:
    """Number and store an event in the running transaction; readers hear of it after the commit."""
    with connections["default"].cursor() as cursor:
        cursor.execute(_NEXT_NUMBER)
        (number,) = cursor.fetchone()
    event = StatusEvent.objects.create(number=number, type=type, data=data, move_id=move_id, at=now)
    transaction.on_commit(lambda: status_stream.publish(event), using="default")
    return event


class StatusStream:
    """The Redis stream of status events: a courtesy, for readers catch up from the table. Rests after a failure."""

    def __init__(self) -> None:
        self._client: redis.Redis | None = None
        self._silent_until = 0.0

    def publish(self, event: StatusEvent) -> None:
        """Append an event to the stream if Redis takes it."""
        if time.monotonic() < self._silent_until:
            return
        fields: dict[Any, Any] = {"number": event.number, "payload": json.dumps(status_shape(event))}
        try:
            self._connected().xadd(STATUS_STREAM, fields, maxlen=STREAM_LENGTH, approximate=True)
        except redis.RedisError:
            self._silent_until = time.monotonic() + _PAUSE_AFTER_FAILURE_S
            logger.warning("Redis did not take a status event; readers poll", extra={"action": "status"})

    def _connected(self) -> redis.Redis:
        if self._client is None:
            self._client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5)
        return self._client


status_stream = StatusStream()
