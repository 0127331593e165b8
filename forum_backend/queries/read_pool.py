"""The lane of hot reads: psycopg's asynchronous pools, one a shard and process, without Django between."""

import asyncio
from typing import Any

import psycopg
from django.conf import settings
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from forum_backend.domain.errors import Overloaded, ShardUnavailable, Unavailable
from routers.health import health
from routers.refusals import is_connection_lost
from routers.registry import conninfo_of

WAIT_S = 2.0
MAX_WAITING = 500


class ReadPools:
    """Opens a pool at the first read of a shard. Belongs to one event loop; ``close`` ends it with the process."""

    def __init__(self) -> None:
        self._pools: dict[str, AsyncConnectionPool[AsyncConnection[Any]]] = {}
        self._opening = asyncio.Lock()

    async def fetch_one(self, shard: str, sql: str, parameters: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The first row of a prepared statement. ``ShardUnavailable`` if the server does not answer in time."""
        health.refuse_if_down(shard)
        try:
            row = await self._fetch_one(shard, sql, parameters)
        except TooManyRequests as error:  # busy is not down: writers need not stay away
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
                    kwargs={"autocommit": True},
                    min_size=0,
                    max_size=settings.READ_POOL_SIZE,
                    max_waiting=MAX_WAITING,
                    timeout=WAIT_S,
                    reconnect_timeout=WAIT_S,
                    open=False,
                    name=f"reads of {shard}",
                )
                await pool.open()
                self._pools[shard] = pool
            return self._pools[shard]

    async def close(self) -> None:
        """Close all pools, within a time limit."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.close(timeout=1.0)


read_pools = ReadPools()
