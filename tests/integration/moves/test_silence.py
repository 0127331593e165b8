"""A network that brings nothing back: the server's limits end what a mover left open, and movers give up waiting."""

import time
from collections.abc import Iterator

import pytest
from django.db import connections
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from forum_backend.services.ownership import Limits, connected
from routers.limited import SILENCE_S, LimitedConnection, NoAnswer
from routers.registry import conninfo_of
from tests.processes import eventually
from tests.proxy import HOST, Proxy

SHARD = "shard_00"
LIMITS = Limits(lock_ms=200, statement_ms=500, idle_ms=300)
IS_THERE = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
ENDED_WITHIN_S = 5.0


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    port = int(str(conninfo_to_dict(conninfo_of(SHARD))["port"]))
    with Proxy(port) as running:
        yield running


def is_gone(pid: int) -> bool:
    with connections[SHARD].cursor() as cursor:
        cursor.execute(IS_THERE, [pid])
        return int(cursor.fetchone()[0]) == 0


def test_a_transaction_that_is_held_after_a_pipeline_has_an_end() -> None:
    with connected(SHARD, LIMITS) as connection:
        with connection.pipeline():
            connection.begin()
            connection.execute("SELECT pg_advisory_xact_lock(1)")
        connection.hold()
        eventually(lambda: is_gone(connection.info.backend_pid), limit_s=ENDED_WITHIN_S)


def test_a_commit_in_a_pipeline_is_sent_though_all_was_answered_before() -> None:
    with connected(SHARD, LIMITS) as connection:
        with connection.pipeline():
            connection.begin()
            assert connection.execute("SELECT 1").fetchone() == (1,)
            connection.commit()
        assert connection.info.transaction_status == TransactionStatus.IDLE


def test_an_answer_is_not_waited_for_for_ever(proxy: Proxy) -> None:
    there = make_conninfo(conninfo_of(SHARD), host=HOST, port=proxy.port)
    with LimitedConnection.connect(there, autocommit=True) as connection:
        connection.limit(LIMITS.local())
        assert connection.execute("SELECT 1").fetchone() == (1,)
        proxy.cut()
        began = time.monotonic()
        with pytest.raises(NoAnswer):
            connection.execute("SELECT 1")
        assert LIMITS.statement_ms / 1000 < time.monotonic() - began < LIMITS.statement_ms / 1000 + SILENCE_S + 1
        assert connection.closed


def test_what_is_prepared_is_known_on_both_sides_after_a_table_was_dropped() -> None:
    """psycopg forgets its statements then, and has the server forget them behind the next pipeline's first one."""
    with connected(SHARD, LIMITS) as connection:
        for _ in range(3):
            assert connection.execute("SELECT 1", prepare=True).fetchone() == (1,)
            connection.execute("DROP TABLE IF EXISTS no_such_table")
