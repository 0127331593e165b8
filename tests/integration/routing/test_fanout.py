"""Work over many shards: a time limit on each that is nobody else's, and an answer that says who is missing."""

from collections.abc import Callable

import pytest
from django.db import ProgrammingError, connections

from forum_backend.embedded import EmbeddedServers
from routers import fanout
from routers.fanout import fan_out
from tests.integration.moves.conftest import kill
from tests.processes import eventually

__all__ = ["kill"]

SHARD = "shard_00"
RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(9)' AND state = 'active'"


def asked(alias: str, query: str = "SELECT current_setting('statement_timeout')") -> str:
    with connections[alias].cursor() as cursor:
        cursor.execute(query)
        return str(cursor.fetchone()[0])


def test_the_time_limit_is_gone_from_the_session_afterwards() -> None:
    """Behind a pooler the session serves somebody else next."""
    usual = asked(SHARD)
    assert fanout._on(SHARD, asked, 1.234) == "1234ms" != usual
    assert asked(SHARD) == usual
    with pytest.raises(ProgrammingError):
        fanout._on(SHARD, lambda alias: asked(alias, "SELECT nothing FROM nowhere"), 1.234)
    assert asked(SHARD) == usual


def test_a_statement_is_ended_in_time_and_the_shard_is_missing() -> None:
    slow, quick = "SELECT pg_sleep(9)", "SELECT 1"
    found = fan_out(lambda alias: asked(alias, slow if alias == SHARD else quick), time_limit_s=0.3)
    assert SHARD in found.missing
    assert "shard_01" in found.answers
    eventually(lambda: asked(SHARD, RUNNING), lambda number: number == "0", limit_s=5.0)


def test_a_kept_connection_that_is_broken_is_opened_anew(servers: EmbeddedServers) -> None:
    fanout._on(SHARD, asked, 2.0)
    servers.kill_server(SHARD)
    servers.start_server(SHARD)
    assert fanout._on(SHARD, asked, 2.0) == "2s"


def test_a_dead_shard_is_missing(kill: Callable[[str], None]) -> None:
    assert SHARD not in fan_out(asked).missing
    kill("shard_01")
    assert fan_out(asked).missing == ["shard_01"]
