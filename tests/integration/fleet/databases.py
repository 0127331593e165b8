"""Databases for shards that come and go: empty ones on a server that is there, and nothing left of them afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connections
from psycopg.conninfo import make_conninfo

from forum_backend.data.control.directory.models import Shard
from routers.addresses import without_password
from routers.registry import conninfo_of, registry
from tests.factories import unique

SERVER = "shard_01"
# WITH (FORCE) is refused while an autovacuum worker is in the database, which a plain DROP ends by itself.
END = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = %s AND usename = USER"


@contextmanager
def new_databases(count: int = 1) -> Iterator[list[str]]:
    """The addresses of empty databases, as the registry keeps them; processes know the password."""
    names = [unique("new").replace("-", "_") for _ in range(count)]
    with psycopg.connect(conninfo_of(SERVER), autocommit=True) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHARD_PASSWORD", connections.databases[SERVER]["PASSWORD"])
        for name in names:
            connection.execute(f'CREATE DATABASE "{name}"')
        yield [without_password(make_conninfo(conninfo_of(SERVER), dbname=name)) for name in names]
        for name in names:
            connection.execute(END, [name])
            connection.execute(f'DROP DATABASE "{name}"')


def forget(shard: str) -> None:
    """As if there had never been a shard of this name."""
    Shard.objects.filter(pk=shard).delete()
    registry.drop([shard])
    if shard in connections.databases:
        connections[shard].close()
        del connections[shard]
        del connections.databases[shard]
