"""Courtesy calls through Redis: a relay is woken, others hear of a move. Correctness never waits for one."""

import logging
import time

import redis
from django.conf import settings

logger = logging.getLogger(__name__)

WAKE_CHANNEL = "forum:wake"
DIRECTORY_CHANNEL = "forum:directory"
_PAUSE_AFTER_FAILURE_S = 1.0


class Bell:
    """One Redis client with short time limits; after a failure it keeps still for a second."""

    def __init__(self) -> None:
        self._client: redis.Redis | None = None
        self._silent_until = 0.0

    def ring(self, channel: str, message: str) -> bool:
        """Publish a message; False if Redis did not take it (a slow poll does the work then)."""
        if time.monotonic() < self._silent_until:
            return False
        try:
            self._connected().publish(channel, message)
        except redis.RedisError:
            self._silent_until = time.monotonic() + _PAUSE_AFTER_FAILURE_S
            logger.warning("Redis did not take a wake-up call; polling does the work", extra={"action": "wake"})
            return False
        return True

    def _connected(self) -> redis.Redis:
        if self._client is None:
            self._client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5)
        return self._client


bell = Bell()


def wake_relay(shard: str) -> None:
    """A shard's outbox (or ``default``, the accounts') has something new."""
    bell.ring(WAKE_CHANNEL, shard)


def tell_directories(forum: int, shard: str, epoch: int) -> None:
    """A forum has a new owner; processes that believe the old one learn it before they are refused."""
    bell.ring(DIRECTORY_CHANNEL, f"{forum} {shard} {epoch}")
