"""Hears the calls that wake relays: one subscription for the process, one bell a shard."""

import logging
import threading
from collections.abc import Mapping
from typing import Any

import redis

from forum_backend.services.waking import WAKE_CHANNEL
from workers.relay import streams

logger = logging.getLogger(__name__)

LISTEN_S = 0.25
RETRY_S = 1.0


class WakeCalls:
    """Runs in a thread of its own until ``stop``. Deaf while Redis is away: the relays poll."""

    def __init__(self, *, bells: Mapping[str, threading.Event], stop: threading.Event) -> None:
        self._bells = bells
        self._stop = stop

    def run(self) -> None:
        while not self._stop.is_set():
            client = streams.connect(blocking_s=LISTEN_S)
            try:
                self._listen(client)
            except redis.RedisError as error:
                logger.warning(
                    "Redis gives no wake-up calls; polling does the work",
                    extra={"action": "wake", "error": type(error).__name__},
                )
                self._stop.wait(RETRY_S)
            finally:
                client.close()

    def _listen(self, client: redis.Redis) -> None:
        make_calls: Any = client.pubsub  # untyped in redis-py
        with make_calls(ignore_subscribe_messages=True) as calls:
            calls.subscribe(WAKE_CHANNEL)
            while not self._stop.is_set():
                message = calls.get_message(timeout=LISTEN_S)
                if message is not None:
                    self._ring(message["data"])

    def _ring(self, data: bytes) -> None:
        bell = self._bells.get(data.decode(errors="replace"))
        if bell is not None:
            bell.set()
