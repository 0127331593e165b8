"""Which servers answer: the control database and Redis make the service ready, a shard only makes itself missing."""

from typing import Any

import redis
from django.conf import settings
from django.db import connections

from routers.fanout import fan_out
from routers.registry import registry

LIMIT_S = 1.5


def readiness() -> dict[str, Any]:
    """``{"ready", "databases": {alias: "ok" | "down"}, "redis"}``, all asked at once, within a time limit."""
    aliases = ["default", "profiles", *registry.aliases()]
    fanned = fan_out(_answers, shards=aliases, time_limit_s=LIMIT_S)
    databases = {alias: "down" if alias in fanned.missing else "ok" for alias in aliases}
    redis_state = "ok" if _redis_answers() else "down"
    ready = databases["default"] == "ok" and redis_state == "ok"
    return {"ready": ready, "databases": databases, "redis": redis_state}


def _answers(alias: str) -> bool:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


def _redis_answers() -> bool:
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
