"""`manage.py up` says in one line what was wrong with its options, before it starts anything."""

import socket
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from forum_backend.commands import service
from forum_backend.commands.management.commands import up
from forum_backend.embedded import DirectoryLock, write_private

ADDRESSES = {
    "DATABASE_URL": "postgresql://a/control",
    "PROFILES_DATABASE_URL": "postgresql://a/profiles",
    "SHARDS": "shard_00=postgresql://a/shard_00",
    "REDIS_URL": "redis://a/0",
}


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*service.ADDRESSES, "STAFF_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORUM_DATA", str(tmp_path))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--shards", "0"], "--shards must be between 1 and 64, not 0"),
        (["--shards", "65"], "--shards must be between 1 and 64, not 65"),
        (["--port", "0"], "--port must be between 1 and 65535, not 0"),
        (["--port", "70000"], "--port must be between 1 and 65535, not 70000"),
        (["--workers", "0"], "--workers must be between 1 and 64, not 0"),
        (["--data", "/proc/nowhere"], "name a directory that you may write to"),
        (["--port", "many"], "invalid int value: 'many'"),
    ],
)
def test_bad_options_are_refused(options: list[str], expected: str) -> None:
    with pytest.raises(CommandError) as caught:
        call_command("up", *options)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_busy_port_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = str(stranger.getsockname()[1])
        with pytest.raises(CommandError, match=f"port {port} .*in use.* choose another"):
            call_command("up", "--port", port)
    assert not (tmp_path / "control").exists()


def test_a_busy_default_port_is_replaced_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        busy = stranger.getsockname()[1]
        monkeypatch.setattr(up, "DEFAULT_PORT", busy)
        port = up.free_port(host="127.0.0.1", asked=None, say=said.append)
    assert busy < port < busy + up.PORTS_TRIED
    assert said == [f"Port {busy} is busy, so this is port {port}."]


def test_a_second_start_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    with pytest.raises(CommandError, match="in use by process"):
        call_command("up")
    lock.release()


def test_fewer_shards_than_before_are_refused(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"shard_{number:02d}").mkdir()
    with pytest.raises(CommandError, match="must be at least 4"):
        call_command("up", "--shards", "3")
    assert up.chosen_shards(data=tmp_path, asked=None) == 4
    assert up.chosen_shards(data=tmp_path, asked=6) == 6


def test_addresses_of_the_user_count_and_must_be_complete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert up.given_addresses(tmp_path) == {}
    monkeypatch.setenv("DATABASE_URL", ADDRESSES["DATABASE_URL"])
    with pytest.raises(CommandError, match="PROFILES_DATABASE_URL, SHARDS, REDIS_URL"):
        up.given_addresses(tmp_path)
    for name, address in ADDRESSES.items():
        monkeypatch.setenv(name, address)
    assert up.given_addresses(tmp_path) == ADDRESSES


def test_addresses_that_an_earlier_run_left_do_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment = {**ADDRESSES, "SHARD_PASSWORD": "x", "SECRET_KEY": "key", "FORUM_DATA": str(tmp_path)}
    service.write_environment_file(environment=environment, data=tmp_path)
    for name, address in ADDRESSES.items():
        monkeypatch.setenv(name, address)
    assert up.given_addresses(tmp_path) == {}
    write_private(tmp_path / "environment", "DATABASE_URL=postgresql://other\n")
    assert up.given_addresses(tmp_path) == ADDRESSES


def test_the_secret_key_is_kept_or_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    first = service.environment_with(addresses=ADDRESSES, data=tmp_path)
    assert service.environment_with(addresses=ADDRESSES, data=tmp_path)["SECRET_KEY"] == first["SECRET_KEY"]
    monkeypatch.setenv("SECRET_KEY", "given")
    assert service.environment_with(addresses=ADDRESSES, data=tmp_path)["SECRET_KEY"] == "given"


def test_only_the_staff_step_gets_the_staff_password(tmp_path: Path) -> None:
    steps = service.steps(environment={"A": "1"}, demo=True, staff_password="secret")
    assert [step.spec.name for step in steps] == ["migrate_all", "setup_demo", "ensure_staff"]
    assert [step.spec.env.get("STAFF_PASSWORD") for step in steps] == [None, None, "secret"]
    assert not any("secret" in word for step in steps for word in step.spec.argv)
