"""The lane of the hottest statements: psycopg's asynchronous pools, two a shard and process, without Django between.

Reads and writes have pools of their own: a write may wait for a lock, and no reader may wait for that. The wait is
short all the same: a write that has to wait longer belongs to a service thread, and says so to the server itself.
"""

import asyncio
from typing import Any

import psycopg
from django.conf import settings
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from forum_backend.domain.errors import Overloaded, ShardUnavailable, Unavailable
from routers.health import health
from routers.limited import prepare_threshold
from routers.refusals import is_connection_lost
from routers.registry import conninfo_of

READ_WAIT_S = 2.0
WRITE_WAIT_S = 0.5
MAX_WAITING = 500


class AsyncPools:
    """Opens a pool at the first statement on a shard. Belongs to one event loop; ``close`` ends it with the process."""

    def __init__(self, name: str, *, size: int, wait_s: float) -> None:
        self._name = name
        self._size = size
        self._wait_s = wait_s
        self._pools: dict[str, AsyncConnectionPool[AsyncConnection[Any]]] = {}
        self._opening = asyncio.Lock()

    async def fetch_one(self, shard: str, sql: str, parameters: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The first row of a prepared statement, which is sent again if a kept connection was found broken.

        Raises ``ShardUnavailable`` if the server does not answer in time, ``Overloaded`` if too many wait, and what
        else the server says as ``psycopg.Error``.
        """
        health.refuse_if_down(shard)
        try:
            row = await self._fetch_one(shard, sql, parameters)
        except TooManyRequests as error:  # busy is not down: others need not stay away
            raise Overloaded from error
        except PoolTimeout as error:
            health.failed(shard)
            raise ShardUnavailable(shard) from error
        except psycopg.errors.QueryCanceled as error:
            raise Unavailable("A database took too long") from error
        except psycopg.Error as error:
            if is_connection_lost(error):
                health.failed(shard)
                raise ShardUnavailable(shard) from error
            health.answered(shard)
            raise
        health.answered(shard)
        return row

    async def _fetch_one(self, shard: str, sql: str, parameters: tuple[Any, ...]) -> tuple[Any, ...] | None:
        pool = self._pools.get(shard) or await self._open(shard)
        for is_last in (False, True):
            connection = await pool.getconn()
            try:
                cursor = await connection.execute(sql, parameters, prepare=settings.PREPARED_STATEMENTS or None)
                row: tuple[Any, ...] | None = await cursor.fetchone()
            except psycopg.Error as error:
                if is_last or not is_connection_lost(error):
                    raise
            else:
                return row
            finally:
                await pool.putconn(connection)
        raise AssertionError("unreachable")

    async def _open(self, shard: str) -> AsyncConnectionPool[AsyncConnection[Any]]:
        async with self._opening:
            if shard not in self._pools:
                pool = AsyncConnectionPool(
                    conninfo_of(shard),
                    kwargs={"autocommit": True, "prepare_threshold": prepare_threshold()},
                    min_size=0,
                    max_size=self._size,
                    max_waiting=MAX_WAITING,
                    timeout=self._wait_s,
                    reconnect_timeout=self._wait_s,
                    open=False,
                    name=f"{self._name} of {shard}",
                )
                await pool.open()
                self._pools[shard] = pool
            return self._pools[shard]

    async def close(self) -> None:
        """Close all pools, within a time limit."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.close(timeout=1.0)


read_pools = AsyncPools("reads", size=settings.READ_POOL_SIZE, wait_s=READ_WAIT_S)
write_pools = AsyncPools("writes", size=settings.WRITE_POOL_SIZE, wait_s=WRITE_WAIT_S)


async def close_pools() -> None:
    """Close what belongs to this event loop, before it ends."""
    await read_pools.close()
    await write_pools.close()
