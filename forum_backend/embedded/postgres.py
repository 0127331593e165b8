"""One PostgreSQL server: its cluster, its settings, its role and its database."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import LiteralString
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql

from .errors import ServerFailed
from .processes import Child, ProcessMark, children_of, command_line, end_marked, mark_of, send, spawn
from .programs import Program
from .server import Server, Surroundings

SUPERUSER, ROLE = "postgres", "forum"
INITDB_LIMIT_S = 120.0
# Names in the C locale's alphabet everywhere; UTF-8 aware upper and lower case where the system has it.
LOCALES = (("--locale=C.UTF-8",), ("--locale=C",))
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "wal_level": "replica",
    "jit": "off",
    "deadlock_timeout": "1s",
    # A mover that crashed must not hold a lock for ever.
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "log_min_duration_statement": "-1",
    "log_lock_waits": "off",
    "log_line_prefix": "%m [%p] %d ",
    # A failing statement and the detail of an error may carry what people wrote.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "synchronous_commit": "on",
}
DURABLE = {"fsync": "on", "full_page_writes": "on"}
FAST = {"fsync": "off", "full_page_writes": "off"}


def clean_environment() -> dict[str, str]:
    """Nothing of the caller's PG… variables reaches a server."""
    # Some Pythons find their own library by this variable, and a Python is what becomes the server.
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C", "TZ": "UTC", "HOME": "/"}


class PostgresServer(Server):
    """A cluster with the superuser `postgres`, and the role `forum` that owns the one database."""

    # SIGINT ends sessions and shuts down in order, SIGQUIT leaves the rest to crash recovery.
    stop_steps: Sequence[tuple[int, float]] = ((signal.SIGINT, 20), (signal.SIGQUIT, 5), (signal.SIGKILL, 5))

    def __init__(self, *, name: str, surroundings: Surroundings, program: Program) -> None:
        super().__init__(name=name, surroundings=surroundings)
        self._program = program

    @property
    def url(self) -> str:
        password = quote(self.around.secrets.get("forum_password"), safe="")
        query = urlencode({"host": str(self.around.layout.sockets), "port": self.port})
        return f"postgresql://{ROLE}:{password}@/{self.name}?{query}"

    def prepare(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            self._initialise()

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there whole, so that a half-made one is never used."""
        for unfinished in self.data.parent.glob(f"{self.name}.new-*"):
            shutil.rmtree(unfinished)
        folder = self.data.with_name(f"{self.name}.new-{os.getpid()}")
        self.make_private_folder(folder)
        password = self._password_file(folder)
        for locale in LOCALES:
            made = self._initdb(folder / "data", password=password, locale=locale)
            if made.returncode == 0:
                break
        else:
            raise ServerFailed(f"initdb failed for {self.name}: {made.stderr.strip()}")
        (folder / "data").rename(self.data)
        shutil.rmtree(folder)

    def _password_file(self, folder: Path) -> Path:
        path = folder / "password"
        path.touch(mode=0o600)
        self.around.layout.account.give(path, mode=0o600)
        path.write_text(self.around.secrets.get("postgres_password"), encoding="utf-8")
        return path

    def _initdb(self, target: Path, *, password: Path, locale: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
        options = ["-D", str(target), "-U", SUPERUSER, f"--pwfile={password}", "--encoding=UTF8", *locale]
        options += ["--auth=scram-sha-256", "--data-checksums", "--no-instructions"]
        options += [] if self.around.durable else ["--no-sync"]
        return self.around.layout.account.run(
            [str(self._program.path / "initdb"), *options], seconds=INITDB_LIMIT_S, env=clean_environment()
        )

    def launch(self) -> Child:
        settings = SETTINGS | (DURABLE if self.around.durable else FAST)
        settings |= {"port": str(self.port), "unix_socket_directories": str(self.around.layout.sockets)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return spawn(
            argv=[str(self._program.path / "postgres"), "-D", str(self.data), *options],
            env=clean_environment(),
            log=self.log,
            death_signal=signal.SIGINT,
            account=self.around.layout.account,
        )

    def answers(self) -> bool:
        """Ready, serving our data, with the role and database in place."""
        try:
            with self._connect() as connection:
                self._check_data_directory(connection)
                self._ensure_role_and_database(connection)
        except psycopg.OperationalError as error:
            if "authentication failed" in str(error):
                raise ServerFailed(
                    f"{self.name} refuses its password: secrets.json does not belong to {self.data}"
                ) from error
            return False
        return True

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        # template1, so that every database made later, a test's too, has the extension.
        return psycopg.connect(
            host=str(self.around.layout.sockets),
            port=self.port,
            user=SUPERUSER,
            password=self.around.secrets.get("postgres_password"),
            dbname="template1",
            connect_timeout=5,
            autocommit=True,
        )

    def _check_data_directory(self, connection: "psycopg.Connection[tuple[object, ...]]") -> None:
        row = connection.execute("SHOW data_directory").fetchone()
        if row is None or Path(str(row[0])).resolve() != self.data.resolve():
            raise ServerFailed(f"port {self.port} is served by a PostgreSQL that is not {self.name}")

    def _ensure_role_and_database(self, connection: "psycopg.Connection[tuple[object, ...]]") -> None:
        def there(query: LiteralString, name: str) -> bool:
            return connection.execute(query, (name,)).fetchone() is not None

        if there("SELECT 1 FROM pg_available_extensions WHERE name = %s AND installed_version IS NULL", "pg_trgm"):
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        if not there("SELECT 1 FROM pg_roles WHERE rolname = %s", ROLE):
            connection.execute(self._create_role(connection))
        if not there("SELECT 1 FROM pg_database WHERE datname = %s", self.name):
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(self.name), sql.Identifier(ROLE))
            )

    def _create_role(self, connection: "psycopg.Connection[tuple[object, ...]]") -> sql.Composed:
        plain = self.around.secrets.get("forum_password").encode()
        scrambled = connection.pgconn.encrypt_password(plain, ROLE.encode(), b"scram-sha-256").decode()
        return sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEROLE CREATEDB PASSWORD {}").format(
            sql.Identifier(ROLE), sql.Literal(scrambled)
        )

    def repair(self) -> bool:
        said = self.said()
        if "shared memory block" in said:  # the backends of a killed server are still ending
            time.sleep(0.3)
            return True
        return "Address already in use" in said or "could not bind" in said

    def end_leftovers(self) -> None:
        super().end_leftovers()
        noted = self._noted_in_data()
        if noted is None:
            return
        if str(self.data) not in command_line(noted.pid):
            # The number belongs to a stranger now; PostgreSQL would take the stranger for itself.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        elif not end_marked(noted, steps=self.stop_steps):
            raise ServerFailed(f"{self.name} still runs as process {noted.pid} and does not end")

    def _noted_in_data(self) -> ProcessMark | None:
        """The living process that postmaster.pid names."""
        try:
            return mark_of(int((self.data / "postmaster.pid").read_text().splitlines()[0]))
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def kill(self) -> None:
        """Postmaster and backends at once: a backend left alone would still finish its statement."""
        backends: list[ProcessMark] = []
        if self._child is not None and self._child.exit_code() is None:
            self._child.send(signal.SIGSTOP)  # no new backends while we look
            backends = [mark for mark in map(mark_of, children_of(self._child.pid)) if mark is not None]
        super().kill()
        for mark in backends:
            if mark_of(mark.pid) == mark:
                send(mark.pid, signal.SIGKILL)
