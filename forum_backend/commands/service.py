"""The service as processes: which there are, what runs before them, and the environment they get."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from forum_backend.embedded import ProcessSpec, SavedSecrets, write_private

ROOT = Path(__file__).resolve().parents[2]
ADDRESSES = ("DATABASE_URL", "PROFILES_DATABASE_URL", "SHARDS", "REDIS_URL")
STAFF = "admin"
STEP_LIMIT_S = 900.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command that must succeed before the service is ready; `alongside`: while its processes start already."""

    title: str
    spec: ProcessSpec
    alongside: bool = False


def manage(*words: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), *words]


def environment_with(*, addresses: Mapping[str, str], data: Path) -> dict[str, str]:
    """The children's environment: ours, the addresses, and a secret key that stays the same over restarts."""
    secrets = SavedSecrets(data / "secrets.json")
    own = {
        "SECRET_KEY": os.environ.get("SECRET_KEY") or secrets.get("SECRET_KEY"),
        "SHARD_PASSWORD": os.environ.get("SHARD_PASSWORD") or secrets.get("forum_password"),
        "FORUM_DATA": str(data),
        "DJANGO_SETTINGS_MODULE": "forum_backend.settings",
        "PYTHONUNBUFFERED": "1",
    }
    return {**os.environ, **addresses, **own}


def write_environment_file(*, environment: Mapping[str, str], data: Path) -> None:
    """Leave the addresses for `manage.py` in a second terminal."""
    names = (*ADDRESSES, "SHARD_PASSWORD", "SECRET_KEY", "FORUM_DATA")
    write_private(data / "environment", "".join(f"{name}={environment[name]}\n" for name in names))


def steps(*, environment: Mapping[str, str], demo: bool, staff_password: str | None) -> list[Step]:
    """What runs, one after the other, until the service is ready; only the tables must be there before the rest."""

    def step(title: str, *words: str, **more: str) -> Step:
        spec = ProcessSpec(name=words[0], argv=manage(*words), env={**environment, **more}, cwd=ROOT)
        return Step(title=title, spec=spec, alongside=words[0] != "migrate_all")

    found = [step("Bringing the tables of all databases up to date", "migrate_all")]
    if demo:
        found.append(step("Loading the demonstration forums", "setup_demo"))
    if staff_password:
        words = ("ensure_staff", "--username", STAFF)
        found.append(step("Making sure of the staff account", *words, STAFF_PASSWORD=staff_password))
    return found


def processes(*, environment: Mapping[str, str], host: str, port: int, workers: int, data: Path) -> list[ProcessSpec]:
    """The processes that make up the running service."""
    web = ["uvicorn", "forum_backend.asgi:application", "--host", host, "--port", str(port)]
    web += ["--workers", str(workers), "--no-access-log", "--ws", "websockets-sansio"]
    # Frames are small and live: compressing each for each follower costs more than it saves.
    web += ["--ws-per-message-deflate", "false"]
    web += ["--ws-max-size", "16384"]  # clients of a websocket have nothing to say here
    web += ["--timeout-graceful-shutdown", "3", "--log-level", "warning"]
    celery = ["celery", "-A", "workers.app"]
    worker = [*celery, "worker", "--concurrency", "2", "-Q", "default,moves", "--loglevel", "WARNING"]
    beat = [*celery, "beat", "-s", str(data / "beat-schedule"), "--pidfile=", "--loglevel", "WARNING"]
    commands = {
        "web": [sys.executable, "-m", *web],
        "relay": manage("relay"),
        "worker": [sys.executable, "-m", *worker],
        "beat": [sys.executable, "-m", *beat],
    }
    return [ProcessSpec(name=name, argv=argv, env=environment, cwd=ROOT) for name, argv in commands.items()]
