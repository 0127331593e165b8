"""Work over many shards: all at once, a time limit each, and an answer that says which shards are missing."""

import heapq
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, InterfaceError, connections, transaction

from forum_backend.domain.errors import ShardUnavailable
from routers.health import health
from routers.refusals import is_connection_lost
from routers.registry import registry

logger = logging.getLogger(__name__)

THREADS = 16
TIME_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Fanned[T]:
    """Answers by shard, and the shards that gave none in time."""

    answers: dict[str, T]
    missing: list[str] = field(default_factory=list)

    def merged(self, *, key: Callable[[Any], Any], limit: int, reverse: bool = False) -> list[Any]:
        """The first ``limit`` items of all answers, each sorted by ``key`` already."""
        lists: list[Iterable[Any]] = [answer for answer in self.answers.values() if isinstance(answer, list)]
        merged = heapq.merge(*lists, key=key, reverse=reverse)
        return [item for item, _ in zip(merged, range(limit), strict=False)]


_executor = ThreadPoolExecutor(THREADS, thread_name_prefix="fanout")


def fan_out[T](
    read: Callable[[str], T], *, shards: Iterable[str] | None = None, time_limit_s: float = TIME_LIMIT_S
) -> Fanned[T]:
    """Call ``read(alias)`` for every shard at once. A shard that fails or is late is missing, and logged.

    Each shard gets a thread of a bounded pool and a time limit on its statements; a programming error is raised.
    """
    aliases = list(shards) if shards is not None else registry.aliases()
    futures = {alias: _executor.submit(_on, alias, read, time_limit_s) for alias in aliases}
    wait(futures.values(), timeout=time_limit_s)
    answers: dict[str, T] = {}
    missing: list[str] = []
    for alias, future in futures.items():
        if _answered(future, alias):
            answers[alias] = future.result()
        else:
            missing.append(alias)
    return Fanned(answers, missing)


def _answered(future: Future[Any], alias: str) -> bool:
    if not future.done():
        future.cancel()
        logger.warning("A shard did not answer in time", extra={"action": "fan_out", "shard": alias})
        return False
    error = future.exception()
    if isinstance(error, (DatabaseError, InterfaceError, ShardUnavailable)):
        logger.warning(
            "A shard did not answer", extra={"action": "fan_out", "shard": alias, "error": type(error).__name__}
        )
        return False
    return True


def _on[T](alias: str, read: Callable[[str], T], time_limit_s: float) -> T:
    with health.place_at(alias):
        try:
            result = _within(alias, read, time_limit_s)
        except (DatabaseError, InterfaceError) as error:
            connections[alias].close()
            if is_connection_lost(error):
                health.failed(alias)
            else:
                health.answered(alias)
            raise
    health.answered(alias)
    return result


def _within[T](alias: str, read: Callable[[str], T], time_limit_s: float) -> T:
    """Read in one transaction, which alone has the time limit: behind a pooler a session is the next one's too.

    Once more on a new connection if the kept one turns out broken, as after a restart of the server.
    """
    for is_last in (connections[alias].connection is None, True):
        try:
            with transaction.atomic(using=alias):
                with connections[alias].cursor() as cursor:
                    cursor.execute(
                        "SELECT set_config('statement_timeout', %s, true)", [f"{int(time_limit_s * 1000)}ms"]
                    )
                return read(alias)
        except (DatabaseError, InterfaceError) as error:
            if is_last or not is_connection_lost(error):
                raise
            connections[alias].close()
    raise AssertionError("unreachable")
