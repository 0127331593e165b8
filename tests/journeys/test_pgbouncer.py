"""The whole service behind a PgBouncer in transaction mode, as a table owner; and limits that hold through one."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections

from forum_backend.domain.moves import OwnershipMode
from forum_backend.embedded import EmbeddedServers, ProcessSpec
from forum_backend.services.ownership import Change, Limits, connected, set_ownership
from routers.limited import LimitedConnection
from routers.refusals import is_connection_lost
from routers.registry import registry
from tests.history.checking import HistoryCheck
from tests.history.moving import SETTLED
from tests.journeys.people import Person, client_of, expect
from tests.pgbouncer import NoPgBouncer, Pooler, Program, find_pgbouncer
from tests.running import Service, wait_for

pytestmark = pytest.mark.journey

SECONDS = 15.0
SEED = 20150717
FEWEST_OPERATIONS, FEWEST_MOVES, FEWEST_SAMPLES = 100, 3, 50
PATIENCE_S = 60.0
# Far below every other limit: who waits for longer has lost the one that was asked for.
LIMIT_MS, NOT_LIMITED_S = 200, 1.9
LIMITS = Limits(lock_ms=LIMIT_MS, statement_ms=LIMIT_MS * 2, idle_ms=LIMIT_MS)
POOLED = "shard_90"
FORUM = 8_000_001
# As on a server of somebody else's taste.
ODD = "SET IntervalStyle = iso_8601; SET bytea_output = escape; SET extra_float_digits = 0"
TEXTS = "SELECT (interval '1 day 2 hours')::text, '\\xff'::bytea::text, (0.1::float8 + 0.2)::text"
SET_BY_MOVERS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "plan_cache_mode")


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    folder = Path(tempfile.mkdtemp(prefix="forum-pgbouncer-"))
    folder.chmod(0o755)
    try:
        yield find_pgbouncer(folder)
    except NoPgBouncer as reason:
        if os.environ.get("CI") and shutil.which("apt-get"):
            pytest.fail(f"CI needs a PgBouncer: {reason}")
        pytest.skip(str(reason))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class PooledService(Service):
    """All its processes and commands know the databases by PgBouncer's address only; the checker looks past it."""

    def __init__(self, program: Program, **options: Any) -> None:
        super().__init__(**options)
        self._program = program
        self._pooler: Pooler | None = None

    @property
    def pooler(self) -> Pooler:
        """Started when somebody first wants an address: the servers run by then."""
        if self._pooler is None:
            addresses = self.servers.environment()
            shards = dict(part.split("=", 1) for part in addresses["SHARDS"].split(","))
            others = {"control": addresses["DATABASE_URL"], "profiles": addresses["PROFILES_DATABASE_URL"]}
            for address in (*others.values(), *shards.values()):
                set_role_limits(address)
            self._pooler = Pooler(self._program, self.directory, others | shards).__enter__()
        return self._pooler

    @property
    def pooled(self) -> dict[str, str]:
        shards = (name for name in self.servers.names if name.startswith("shard_"))
        return {
            "DATABASE_URL": self.pooler.url("control"),
            "PROFILES_DATABASE_URL": self.pooler.url("profiles"),
            "SHARDS": ",".join(f"{name}={self.pooler.url(name)}" for name in shards),
            "PREPARED_STATEMENTS": "off",
        }

    def manage(self, *words: str, **settings: str) -> str:
        return super().manage(*words, **(self.pooled | settings))

    def _spec(self, name: str) -> ProcessSpec:
        spec = super()._spec(name)
        return replace(spec, env={**spec.env, **self.pooled})

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self._pooler is not None:
                self._pooler.__exit__(None, None, None)


def set_role_limits(address: str) -> None:
    """What README.md asks for: PgBouncer passes on nothing that is asked for when connecting."""
    with psycopg.connect(address) as connection:
        connection.execute("ALTER ROLE CURRENT_USER SET statement_timeout = '10s'")
        row = connection.execute(
            "SELECT rolsuper OR rolreplication OR rolbypassrls, current_setting('wal_level') "
            "FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (False, "replica"), "a table owner is enough"


def test_people_write_while_forums_move_through_a_pooler(program: Program) -> None:
    settings = {"SIGN_IN_ATTEMPTS_PER_MINUTE": "10000"}
    with PooledService(program, shards=3, durable=False, settings=settings) as service:
        staff = Person("staff", service.token("staff", staff=True))
        before = service.pooler.transactions()
        with HistoryCheck(service, seed=SEED, staff=staff) as check:
            time.sleep(SECONDS)  # how long the run is, no wait for anything
            moving = check.moving
            assert moving is not None
            wait_for(lambda: len(moving.moves) >= FEWEST_MOVES, seconds=PATIENCE_S, what="enough moves")
            back = roll_one_back(service, staff)
            verdict = check.verdict()
            print(f"\nSeed {SEED}. {verdict}\n{check.windows_text()}; taken back in {back['window_ms']} ms")
            assert verdict.is_good, str(verdict)
            assert verdict.figures["done"] >= FEWEST_OPERATIONS
            assert verdict.figures["moves"] - verdict.figures["of them aborted"] >= FEWEST_MOVES
            assert verdict.figures["samples"] >= FEWEST_SAMPLES
            assert check.strays() == []
        passed = {name: number - before[name] for name, number in service.pooler.transactions().items()}
        print(f"Transactions through PgBouncer: {passed}")
        assert all(number > FEWEST_OPERATIONS for number in passed.values()), passed


def roll_one_back(service: Service, staff: Person) -> dict[str, Any]:
    """A move of those that can be taken back, while people write; how that went."""
    with client_of(service, staff) as client:
        asked: list[dict[str, Any]] = []

        def is_asked() -> bool:
            moves = expect(client.get("/moves", params={"limit": 100}), 200)["items"]
            for move in (each for each in moves if each["state"] == "reversible"):
                answer = client.post(f"/moves/{move['id']}/rollback")
                if answer.status_code == 202:
                    asked.append(answer.json())
                    return True
            return False

        def is_settled() -> bool:
            asked[0] = expect(client.get(f"/moves/{asked[0]['id']}"), 200)
            return asked[0]["state"] in SETTLED

        wait_for(is_asked, seconds=PATIENCE_S, what="a move that can be taken back")
        wait_for(is_settled, seconds=PATIENCE_S, what="the end of the rollback")
    assert asked[0]["state"] != "aborted", asked[0]
    return asked[0]


@pytest.fixture(scope="module")
def pooler(program: Program, servers: EmbeddedServers) -> Iterator[Pooler]:
    """Before one shard of the test run, with one session for everybody."""
    folder = Path(tempfile.mkdtemp(prefix="forum-pooler-"))
    folder.chmod(0o755)
    address = dict(part.split("=", 1) for part in servers.environment()["SHARDS"].split(","))["shard_00"]
    with Pooler(program, folder, {"shard_00": address}, pool_size=1, connect_query=ODD) as running:
        registry.add({POOLED: running.url("shard_00")})
        yield running
        registry.drop([POOLED])
        del connections.databases[POOLED]
    shutil.rmtree(folder)


@pytest.fixture
def another(pooler: Pooler) -> Iterator[psycopg.Connection[Any]]:
    """Another client of the same session."""
    with psycopg.connect(pooler.url("shard_00"), autocommit=True, prepare_threshold=None) as connection:
        yield connection


@pytest.fixture
def holder(servers: EmbeddedServers) -> Iterator[psycopg.Connection[Any]]:
    """Somebody who keeps the forum's lock, past the pooler."""
    address = dict(part.split("=", 1) for part in servers.environment()["SHARDS"].split(","))["shard_00"]
    with psycopg.connect(address) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(forum_lock_key(%s))", (FORUM,))
        yield connection


@pytest.fixture
def mover(pooler: Pooler) -> Iterator[LimitedConnection]:
    with connected(POOLED, LIMITS) as connection:
        yield connection


@pytest.fixture(params=["shard_00", POOLED])
def any_mover(request: pytest.FixtureRequest) -> Iterator[LimitedConnection]:
    """Straight to the shard, or through the pooler."""
    if request.param == POOLED:
        request.getfixturevalue("pooler")
    with connected(request.param, LIMITS) as connection:
        yield connection


class Within:
    """`with Within():` fails if what is inside takes so long that its limit cannot have held."""

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_error: object) -> None:
        took = time.monotonic() - self._began
        assert took < NOT_LIMITED_S, f"{took:.1f} s: the limit was lost"


def become_owner(connection: LimitedConnection) -> None:
    owner = OwnershipMode.OWNER
    set_ownership(connection, Change(forum=FORUM, token=1, modes=("absent",), from_epoch=None, mode=owner, epoch=1))


@contextmanager
def begun_in_a_pipeline(connection: LimitedConnection) -> Iterator[None]:
    """As a mover does under its fence."""
    try:
        with connection.pipeline():
            connection.begin()
            yield
    finally:
        connection.rollback()


def test_a_lock_is_waited_for_as_long_as_was_asked(
    holder: psycopg.Connection[Any], any_mover: LimitedConnection
) -> None:
    with Within(), pytest.raises(psycopg.errors.LockNotAvailable):
        become_owner(any_mover)
    with Within(), pytest.raises(psycopg.errors.LockNotAvailable), any_mover.transaction():
        become_owner(any_mover)
    with Within(), pytest.raises(psycopg.errors.LockNotAvailable), begun_in_a_pipeline(any_mover):
        become_owner(any_mover)


def test_a_statement_takes_as_long_as_was_asked(any_mover: LimitedConnection) -> None:
    with Within(), pytest.raises(psycopg.errors.QueryCanceled):
        any_mover.execute("SELECT pg_sleep(%s)", (9,))
    any_mover.limit(Limits(statement_ms=LIMIT_MS).local())
    with Within(), pytest.raises(psycopg.errors.QueryCanceled), any_mover.transaction():
        any_mover.execute("SELECT pg_sleep(%s)", (9,))


def test_who_sits_in_a_transaction_loses_it(mover: LimitedConnection, another: psycopg.Connection[Any]) -> None:
    mover.begin()
    mover.execute("SELECT pg_advisory_xact_lock(forum_lock_key(%s))", (FORUM,))
    with Within():  # the only session is free again
        assert another.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout) as lost:
        mover.execute("SELECT 1")
    assert is_connection_lost(lost.value)


def test_nothing_of_it_is_left_for_others(mover: LimitedConnection, another: psycopg.Connection[Any]) -> None:
    def seen(connection: psycopg.Connection[Any]) -> list[Any]:
        names = ", ".join(f"current_setting('{name}')" for name in SET_BY_MOVERS)
        return connection.execute(f"SELECT pg_backend_pid(), {names}".encode()).fetchall()

    before = seen(another)
    own = seen(mover)
    assert own[0][0] == before[0][0], "the test is about one session"
    assert own[0][1:] == ("200ms", "400ms", "200ms", "force_generic_plan")
    with mover.transaction():
        assert seen(mover) == own
    mover.begin()
    assert seen(mover) == own
    mover.commit()
    assert seen(another) == before


def test_values_are_written_alike_whatever_the_session(
    mover: LimitedConnection, another: psycopg.Connection[Any]
) -> None:
    alike = ("1 day 02:00:00", "\\xff", "0.30000000000000004")
    assert another.execute(TEXTS).fetchone() != alike, "the test is about a session that writes otherwise"
    assert mover.execute(TEXTS).fetchone() == alike
    with mover.transaction():
        assert mover.execute(TEXTS).fetchone() == alike
