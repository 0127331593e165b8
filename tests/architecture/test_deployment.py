"""docker-compose.yml and the Dockerfile, held to what the service needs; no Docker engine is asked."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from forum_backend.commands.service import processes

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


def web_command_of_the_image() -> list[str]:
    (line,) = (line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("CMD "))
    words: list[str] = json.loads(line.removeprefix("CMD "))
    return words


def web_command_of_the_readme() -> list[str]:
    (line,) = (line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("    uvicorn "))
    return line.partition("#")[0].split()


@pytest.mark.parametrize("words", [web_command_of_the_image(), web_command_of_the_readme()], ids=["image", "readme"])
def test_the_web_process_logs_and_takes_no_more_than_the_one_that_up_starts(words: list[str]) -> None:
    (up,) = (s.argv for s in processes(environment={}, host="x", port=1, workers=1, data=ROOT) if s.name == "web")
    assert "--no-access-log" in words
    for option in ("--log-level", "--ws-max-size"):
        assert words.count(option) == up.count(option) == 1
        assert words[words.index(option) + 1] == up[up.index(option) + 1]


# Of the settings those that a container gets otherwise, or not at all.
NOT_PASSED = {
    "DATABASE_URL": "made from POSTGRES_PASSWORD",
    "PROFILES_DATABASE_URL": "made from POSTGRES_PASSWORD",
    "SHARDS": "made from POSTGRES_PASSWORD",
    "REDIS_URL": "made from REDIS_PASSWORD",
    "SECRET_KEY": "not optional",
    "DEBUG": "for who works on the code",
    "FORUM_DATA": "of embedded servers",
    "FAILPOINTS": "for tests",
}
# What `docker compose` is asked for where nothing is set; elsewhere the default of the settings.
OTHERWISE = {"ALLOWED_HOSTS": "localhost,127.0.0.1"}


def test_every_limit_comes_through_to_the_containers(compose: dict[str, Any]) -> None:
    """One that is only in .env would change nothing; one with another default would change what is documented."""
    found = variables_of_the_settings()
    example = (ROOT / ".env.example").read_text()
    assert set(NOT_PASSED) <= set(found), "an exemption is not used any more"
    for service in PROCESSES | {"migrate"}:
        passed = compose["services"][service]["environment"]
        for name in found.keys() - NOT_PASSED.keys():
            default = OTHERWISE.get(name) or as_environment(found[name])
            assert passed[name] == f"${{{name}:-{default}}}", (service, name)
            assert re.search(rf"^#?{name}=", example, re.MULTILINE), name


def variables_of_the_settings() -> dict[str, ast.expr]:
    """What the settings ask the environment for, and what they take where there is nothing."""
    tree = ast.parse((ROOT / "forum_backend" / "settings.py").read_text())
    asked = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func)[:4] == "env."]
    return {ast.literal_eval(call.args[0]): call.args[1] for call in asked}


def as_environment(default: ast.expr) -> str:
    value = eval(ast.unparse(default), {})  # noqa: S307 - of our own settings
    return str(value).lower() if isinstance(value, bool) else str(value or "")


def test_every_variable_of_the_example_is_read() -> None:
    """An example that names a setting nobody reads would mislead."""
    settings = (ROOT / "forum_backend" / "settings.py").read_text() + (ROOT / "routers" / "registry.py").read_text()
    compose_text = (ROOT / "docker-compose.yml").read_text()
    for line in (ROOT / ".env.example").read_text().splitlines():
        name = line.lstrip("#").partition("=")[0]
        if name.isupper() and name.replace("_", "").isalpha():
            assert f'"{name}"' in settings or f"${{{name}" in compose_text, name
