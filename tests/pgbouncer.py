"""A real PgBouncer in transaction mode before PostgreSQL servers: Debian's, installed or unpacked for one test run."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict

from forum_backend.embedded import last_lines, spawn
from forum_backend.embedded.account import Account, account_for
from tests.ports import HOST, free_port
from tests.running import wait_for

SEARCHED = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
STEP_LIMIT_S = 120.0
START_LIMIT_S, STOP_LIMIT_S = 10.0, 5.0
POOL_SIZE = 12
# What README.md says of PgBouncer. The role's own limits are asked for in SQL.
SETTINGS = {
    "listen_addr": HOST,
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "pool_mode": "transaction",
    "server_reset_query": "",
    "max_client_conn": "500",
    "ignore_startup_parameters": "options",
    "query_wait_timeout": "5",
    "server_login_retry": "1",
}


class NoPgBouncer(Exception):
    """There is none on this machine, and none can be got."""


class Program:
    """Where PgBouncer is, and where it finds its libraries."""

    def __init__(self, path: Path, libraries: list[Path]) -> None:
        self.path = path
        found = [*map(str, libraries), os.environ.get("LD_LIBRARY_PATH", "")]
        self.environment = {"PATH": os.defpath, "LC_ALL": "C", "LD_LIBRARY_PATH": os.pathsep.join(filter(None, found))}


def find_pgbouncer(folder: Path) -> Program:
    """The installed one, else Debian's package unpacked in ``folder``; ``NoPgBouncer`` says why there is none."""
    installed = shutil.which("pgbouncer", path=SEARCHED)
    if installed:
        return Program(Path(installed), [])
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise NoPgBouncer("there is no pgbouncer on this machine, and no apt-get to get one with")
    package = _downloaded(folder, "pgbouncer")[0]
    _unpack(folder, [package])
    program = Program(folder / "usr/sbin/pgbouncer", [])
    if "not found" in _run(folder, "ldd", str(program.path)):
        wanted = _run(folder, "dpkg-deb", "--field", str(package), "Depends")
        names = [word.split()[0] for word in wanted.split(",") if word.split()[0].startswith("lib")]
        _unpack(folder, _downloaded(folder, *(name for name in names if name != "libc6")))
        program = Program(program.path, [path for path in folder.glob("**/lib/*-linux-*") if path.is_dir()])
    return program


def _downloaded(folder: Path, *names: str) -> list[Path]:
    """Packages from Debian's archive; with lists of our own where the system has none."""
    before = set(folder.glob("*.deb"))
    try:
        _run(folder, "apt-get", "download", "-qq", *names)
    except NoPgBouncer:
        (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        own = ("-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder}", "-qq")
        _run(folder, "apt-get", *own, "update")
        _run(folder, "apt-get", *own, "download", *names)
    return sorted(set(folder.glob("*.deb")) - before)


def _unpack(folder: Path, packages: list[Path]) -> None:
    for package in packages:
        _run(folder, "dpkg-deb", "--extract", str(package), str(folder))


def _run(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=STEP_LIMIT_S, check=True)
    except subprocess.CalledProcessError as error:
        raise NoPgBouncer(f"{' '.join(words)}: {error.stderr.strip()[-500:]}") from error
    return done.stdout


class Pooler:
    """`with Pooler(...) as pooler:` one PgBouncer before the given databases; ``url(name)`` leads through it."""

    def __init__(
        self,
        program: Program,
        folder: Path,
        addresses: Mapping[str, str],
        *,
        pool_size: int = POOL_SIZE,
        connect_query: str = "",
    ) -> None:
        self.port = free_port()
        self.log = folder / "pgbouncer.log"
        self._program, self._folder, self._connect_query = program, folder, connect_query
        self._servers = {name: conninfo_to_dict(address) for name, address in addresses.items()}
        self._settings = SETTINGS | {"default_pool_size": str(pool_size), "listen_port": str(self.port)}
        self._account: Account = account_for(owner_uid=None)
        server = next(iter(self._servers.values()))
        self._user, self._password = str(server["user"]), str(server["password"])

    def url(self, name: str) -> str:
        return f"postgresql://{self._user}:{self._password}@{HOST}:{self.port}/{name}"

    def __enter__(self) -> Self:
        self._write("users", f'"{self._user}" "{self._password}"\n')
        settings = self._settings | {"auth_file": str(self._folder / "users"), "admin_users": self._user}
        lines = ["[databases]", *map(self._database, self._servers), "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        configuration = self._write("pgbouncer.ini", "\n".join([*lines, ""]))
        self._child = spawn(
            argv=[str(self._program.path), str(configuration)],
            env=self._program.environment,
            log=self.log,
            account=self._account,
        )
        try:
            wait_for(self._answers, seconds=START_LIMIT_S, what="an answer of PgBouncer")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._child.send(15)
        self._child.wait(seconds=STOP_LIMIT_S)
        self._child.kill_group()

    def transactions(self) -> dict[str, int]:
        """How many each database has had through here."""
        with psycopg.connect(self.url("pgbouncer"), autocommit=True) as admin:
            rows: list[Any] = admin.execute("SHOW STATS_TOTALS").fetchall()
        return {row[0]: int(row[1]) for row in rows if row[0] in self._servers}

    def _database(self, name: str) -> str:
        server = self._servers[name]
        query = f" connect_query='{self._connect_query}'" if self._connect_query else ""
        return f"{name} = host={server['host']} port={server['port']} dbname={server['dbname']}{query}"

    def _write(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.touch(mode=0o600)
        self._account.give(path, mode=0o600)
        path.write_text(text, encoding="utf-8")
        return path

    def _answers(self) -> bool:
        if self._child.exit_code() is not None:
            raise RuntimeError(f"PgBouncer died while it started:\n{last_lines(self.log)}")
        try:
            self.transactions()
        except psycopg.OperationalError:
            return False
        return True
