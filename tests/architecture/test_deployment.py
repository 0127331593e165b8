"""docker-compose.yml and the Dockerfile, held to what the service needs; no Docker engine is asked."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
POSTGRES = {"control", "profiles", "shard_00", "shard_01", "shard_02"}
PROCESSES = {"web", "relay", "worker", "beat"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return parsed


def test_every_part_is_there_and_watched(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == POSTGRES | PROCESSES | {"redis", "migrate"}
    assert all("healthcheck" in services[name] for name in POSTGRES | PROCESSES | {"redis"})


def test_data_is_kept_in_volumes(compose: dict[str, Any]) -> None:
    for name in POSTGRES | {"redis"}:
        volume = compose["services"][name]["volumes"][0].partition(":")[0]
        assert volume in compose["volumes"]


def test_every_dependency_exists(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", {})) <= set(compose["services"]), name


def test_the_shards_are_named_as_settings_expect(compose: dict[str, Any]) -> None:
    from routers.addresses import shard_addresses

    addresses = shard_addresses(
        compose["services"]["web"]["environment"]["SHARDS"].replace("${POSTGRES_PASSWORD:?}", "x")
    )
    assert set(addresses) == POSTGRES - {"control", "profiles"}


def test_no_secret_is_written_down(compose: dict[str, Any]) -> None:
    example = (ROOT / ".env.example").read_text()
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "SECRET_KEY"):
        assert f"${{{name}:?}}" in (ROOT / "docker-compose.yml").read_text()
        assert f"{name}=" in example


def test_the_image_runs_as_an_ordinary_user() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert any(line.startswith("USER ") and line != "USER root" for line in lines)
    assert max(i for i, line in enumerate(lines) if line.startswith("USER")) < next(
        i for i, line in enumerate(lines) if line.startswith("CMD")
    )


def test_every_variable_of_the_example_is_read() -> None:
    """An example that names a setting nobody reads would mislead."""
    settings = (ROOT / "forum_backend" / "settings.py").read_text() + (ROOT / "routers" / "registry.py").read_text()
    compose_text = (ROOT / "docker-compose.yml").read_text()
    for line in (ROOT / ".env.example").read_text().splitlines():
        name = line.lstrip("#").partition("=")[0]
        if name.isupper() and name.replace("_", "").isalpha():
            assert f'"{name}"' in settings or f"${{{name}" in compose_text, name
