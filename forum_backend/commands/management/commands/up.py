"""`manage.py up`: start everything with one command, watch over it, stop all of it."""

import os
import socket
from argparse import BooleanOptionalAction
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser

from forum_backend.commands import service
from forum_backend.commands.display import Display
from forum_backend.commands.launch import Launch, Plan, answers
from forum_backend.commands.stopping import StopRequests
from forum_backend.embedded import (
    DirectoryLock,
    EmbeddedError,
    EmbeddedServers,
    SavedSecrets,
    StartCancelled,
    Supervisor,
    shards_present,
    why_not_listen,
)

DEFAULT_PORT, PORTS_TRIED = 8000, 100
DEFAULT_SHARDS, MAX_SHARDS, MAX_WORKERS = 3, 64, 64


class Command(BaseCommand):
    help = "Start real servers, bring their tables up to date and run the whole service until Ctrl-C."
    requires_system_checks = []  # the databases to check are not up yet

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, help=f"web port (default {DEFAULT_PORT}, or the next free one)")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
        parser.add_argument("--data", type=Path, help="data directory (default .data beside manage.py)")
        parser.add_argument("--shards", type=int, help=f"shard servers (default: as before, else {DEFAULT_SHARDS})")
        parser.add_argument("--workers", type=int, default=1, help="web processes (default %(default)s)")
        parser.add_argument(
            "--demo",
            action=BooleanOptionalAction,
            help="load demonstration forums (default: yes, on servers of its own)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        check_range("--workers", options["workers"], 1, MAX_WORKERS)
        check_range("--shards", options["shards"], 1, MAX_SHARDS)
        check_range("--port", options["port"], 1, 65535)
        check_host(options["host"])
        data = (options["data"] or Path(os.environ.get("FORUM_DATA") or service.ROOT / ".data")).expanduser().resolve()
        addresses = given_addresses(data)
        with StopRequests() as stopping:
            try:
                self._hold(data=data, addresses=addresses, options=options, stopping=stopping)
            except StartCancelled:
                self.stdout.write("Stopped.")
            except EmbeddedError as error:
                raise CommandError(str(error)) from error

    def _hold(
        self, *, data: Path, addresses: Mapping[str, str], options: Mapping[str, Any], stopping: StopRequests
    ) -> None:
        """Everything, while this process holds the data directory."""
        lock = DirectoryLock(data)
        lock.acquire()
        try:
            shards = chosen_shards(data=data, asked=options["shards"])
            Supervisor(processes=[], directory=data, notify=self.stdout.write).end_leftovers()
            port = free_port(host=options["host"], asked=options["port"], say=self.stdout.write)
            servers = None if addresses else EmbeddedServers(directory=data, shards=shards, lock=lock)
            self._run(data=data, addresses=addresses, servers=servers, options={**options, "port": port},
                      stopping=stopping)  # fmt: skip
        finally:
            lock.release()

    def _run(
        self,
        *,
        data: Path,
        addresses: Mapping[str, str],
        servers: EmbeddedServers | None,
        options: Mapping[str, Any],
        stopping: StopRequests,
    ) -> None:
        # The wrapper around it would end each piece of the progress bar with a new line.
        display = Display(cast(TextIO, self.stdout._out))
        launch = Launch(data=data, servers=servers, stopping=stopping, display=display)
        try:
            with display:
                addresses = launch.start_servers() or addresses
                password = staff_password(data=data, own_servers=servers is not None)
                launch.run(plan_of(data=data, addresses=addresses, password=password, options=options,
                                   own_servers=servers is not None))  # fmt: skip
            display.say(greeting(host=options["host"], port=options["port"], password=password))
            launch.watch()
            display.say("Stopping…")
        finally:
            launch.stop()
        display.say("Stopped.")


def plan_of(
    *, data: Path, addresses: Mapping[str, str], password: str | None, options: Mapping[str, Any], own_servers: bool
) -> Plan:
    """The steps and processes for these servers; leaves the addresses for other terminals when the servers are ours."""
    environment = service.environment_with(addresses=addresses, data=data)
    if own_servers:
        service.write_environment_file(environment=environment, data=data)
    host, port = options["host"], options["port"]
    demo = own_servers if options["demo"] is None else options["demo"]
    return Plan(
        steps=service.steps(environment=environment, demo=demo, staff_password=password),
        processes=service.processes(
            environment=environment, host=host, port=port, workers=options["workers"], data=data
        ),
        ready=lambda: answers(host=reachable(host), port=port, path="/readyz"),
    )


def check_range(name: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise CommandError(f"{name} must be between {least} and {most}, not {value}")


def check_host(host: str) -> None:
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        raise CommandError(f"--host must be an address of this machine, not {host!r}") from error


def given_addresses(data: Path) -> dict[str, str]:
    """Addresses from the user's own environment; those that the settings took from a data directory do not count."""
    found = {name: os.environ[name] for name in service.ADDRESSES if os.environ.get(name)}
    if "DATABASE_URL" not in found or found["DATABASE_URL"] in saved_addresses(data):
        return {}
    missing = [name for name in service.ADDRESSES if name not in found]
    if missing:
        raise CommandError(f"DATABASE_URL is set, so these must be set too: {', '.join(missing)}")
    return found


def saved_addresses(data: Path) -> set[str]:
    """The addresses that earlier runs left in the data directories that the settings may have read."""
    folders = {data, service.ROOT / ".data", Path(os.environ.get("FORUM_DATA", data))}
    files = [folder / "environment" for folder in folders]
    lines = [line for file in files if file.is_file() for line in file.read_text(encoding="utf-8").splitlines()]
    return {line.removeprefix("DATABASE_URL=") for line in lines if line.startswith("DATABASE_URL=")}


def chosen_shards(*, data: Path, asked: int | None) -> int:
    present = shards_present(data)
    if asked is not None and asked < present:
        raise CommandError(f"--shards must be at least {present}: {data} holds that many already")
    return asked or present or DEFAULT_SHARDS


def free_port(*, host: str, asked: int | None, say: Any) -> int:
    """The port asked for, or the first free one from the default on."""
    for port in [asked] if asked else range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED):
        problem = why_not_listen(port, host=host)
        if problem is None:
            if port != (asked or DEFAULT_PORT):
                say(f"Port {DEFAULT_PORT} is busy, so this is port {port}.")
            return port
    if asked:
        raise CommandError(f"cannot listen on {host} port {asked} ({problem}): choose another with --port")
    raise CommandError(f"no free port from {DEFAULT_PORT} on ({problem}): choose one with --port")


def staff_password(*, data: Path, own_servers: bool) -> str | None:
    """The staff account's password; on other people's servers there is one only if they give it."""
    given = os.environ.get("STAFF_PASSWORD")
    return given or (SavedSecrets(data / "secrets.json").get("STAFF_PASSWORD") if own_servers else None)


def reachable(host: str) -> str:
    """An address at which this machine reaches what listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not listened on


def greeting(*, host: str, port: int, password: str | None) -> str:
    name = "localhost" if reachable(host) in ("127.0.0.1", "::1") else host
    base = f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
    staff = f"{base}/sign-in   {service.STAFF} / {password}" if password else f"{base}/sign-in"
    return (
        "\nThe forum service is ready.\n\n"
        f"  Front page     {base}/\n"
        f"  API            {base}/api/v1/docs\n"
        f"  Status page    {base}/status/\n"
        f"  Staff sign-in  {staff}\n\n"
        "Ctrl-C stops everything; what was written stays."
    )
