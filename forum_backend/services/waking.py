"""Courtesy calls through Redis: a relay is woken, others hear of a move. Correctness never waits for one."""

import logging
import os
import threading
import time

import redis
from django.conf import settings

logger = logging.getLogger(__name__)

WAKE_CHANNEL = "forum:wake"
DIRECTORY_CHANNEL = "forum:directory"
ACCOUNTS = "default"
MOST_WAITING = 10_000
# The first call goes out at once; what comes in a rush goes out together.
PACE_S = 0.005
_PAUSE_AFTER_FAILURE_S = 1.0
# A relay that was woken, or found something, goes on looking for WATCH_S: it need not be called for each post.
WATCH_S = 0.03
CALLS_APART_S = 0.01


class Bell:
    """Publishes from one thread of its own, so that no writer waits for Redis and a busy second needs few calls.

    What waits to be said is a set: the same message is said once, however often it was asked for meanwhile. After a
    failure it keeps still for a second.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], None] = {}
        self._something = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def ring(self, channel: str, message: str) -> None:
        """Have a message published soon; beyond ``MOST_WAITING`` messages the newest are left to the slow poll."""
        with self._something:
            if len(self._waiting) < MOST_WAITING:
                self._waiting[channel, message] = None
            # After a fork threads do not come along; one that died of something unforeseen is replaced.
            if self._pid != os.getpid() or self._thread is None or not self._thread.is_alive():
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._publish_for_ever, name="bell", daemon=True)
                self._thread.start()
            self._something.notify()

    def _publish_for_ever(self) -> None:
        client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5, single_connection_client=True
        )
        rest = threading.Event()
        while True:
            with self._something:
                self._something.wait_for(lambda: self._waiting)
                messages, self._waiting = list(self._waiting), {}
            try:
                for channel, message in messages:
                    client.publish(channel, message)
                rest.wait(PACE_S)
            except redis.RedisError as error:
                logger.warning(
                    "Redis did not take a wake-up call; polling does the work",
                    extra={"action": "wake", "error": type(error).__name__},
                )
                rest.wait(_PAUSE_AFTER_FAILURE_S)


bell = Bell()


_woken_at: dict[str, float] = {}


def wake_relay(shard: str) -> None:
    """A shard's outbox has something new; its relay need not be told if it was a moment ago."""
    now = time.monotonic()
    if now - _woken_at.get(shard, -CALLS_APART_S) >= CALLS_APART_S:
        _woken_at[shard] = now
        bell.ring(WAKE_CHANNEL, shard)


def wake_accounts() -> None:
    """The outbox of accounts has something new."""
    bell.ring(WAKE_CHANNEL, ACCOUNTS)


def tell_directories(forum: int, shard: str, epoch: int) -> None:
    """A forum has a new owner; processes that believe the old one learn it before they are refused."""
    bell.ring(DIRECTORY_CHANNEL, f"{forum} {shard} {epoch}")
