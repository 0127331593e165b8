"""All servers of one directory, started and stopped together or one by one."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .errors import DirectoryUnusable, EmbeddedError
from .files import SavedSecrets
from .layout import POINTER, Layout, prepare_layout, shards_present
from .lock import DirectoryLock
from .ports import PortBook
from .postgres import PostgresServer
from .processes import MarkBook
from .programs import find_postgres, find_valkey
from .server import Server, Surroundings
from .valkey import ValkeyServer

MAX_SHARDS = 64
Progress = Callable[[str, float], None]


def _say_nothing(_text: str, _fraction: float) -> None:
    return


def _never() -> bool:
    return False


class EmbeddedServers:
    """Real servers in a directory: `control`, `profiles`, `shard_00`… and `redis`."""

    def __init__(
        self, *, directory: Path, shards: int = 3, durable: bool = True, lock: DirectoryLock | None = None
    ) -> None:
        if not 1 <= shards <= MAX_SHARDS:
            raise EmbeddedError(f"the number of shards must be between 1 and {MAX_SHARDS}, not {shards}")
        self._directory = directory.resolve()
        self._shards = shards
        self._durable = durable
        self._owns_lock = lock is None
        self._lock = lock or DirectoryLock(self._directory)
        self._servers: dict[str, PostgresServer | ValkeyServer] = {}

    @property
    def names(self) -> list[str]:
        return ["control", "profiles", *(f"shard_{number:02d}" for number in range(self._shards)), "redis"]

    def start(self, *, progress: Progress = _say_nothing, cancelled: Callable[[], bool] = _never) -> None:
        """Make what is missing, repair what an earlier run left, start all at once, wait until all answer."""
        if self._owns_lock and self._lock.is_held:
            raise EmbeddedError(f"the servers in {self._directory} are started already")
        self._lock.acquire()
        try:
            progress("Looking for PostgreSQL and Valkey", 0.0)
            self._set_up()
            self._start_all(progress=progress, cancelled=cancelled)
        except BaseException:
            self.stop()
            raise

    def _set_up(self) -> None:
        layout = prepare_layout(self._directory)
        present = shards_present(self._directory)
        if present > self._shards:
            raise DirectoryUnusable(f"{self._directory} holds {present} shards: start at least {present}")
        around = Surroundings(
            layout=layout,
            ports=PortBook(self._directory / "ports.json"),
            secrets=SavedSecrets(self._directory / "secrets.json"),
            marks=MarkBook(self._directory / "servers.json"),
            durable=self._durable,
        )
        for secret in ("postgres_password", "forum_password", "redis_password"):
            around.secrets.get(secret)  # made here, before threads ask for them at once
        postgres = find_postgres(account=layout.account, data_major=_data_major(layout))
        valkey = find_valkey(account=layout.account)
        self._servers = {
            name: PostgresServer(name=name, surroundings=around, program=postgres) for name in self.names[:-1]
        }
        self._servers["redis"] = ValkeyServer(name="redis", surroundings=around, program=valkey)

    def _start_all(self, *, progress: Progress, cancelled: Callable[[], bool]) -> None:
        given_up = False

        def stop_waiting() -> bool:
            return given_up or cancelled()

        with ThreadPoolExecutor(max_workers=len(self._servers)) as pool:
            starts = {pool.submit(server.start, cancelled=stop_waiting): name for name, server in self._servers.items()}
            try:
                for done, start in enumerate(as_completed(starts), start=1):
                    start.result()
                    progress(f"{starts[start]} is ready", done / len(starts))
            except BaseException:
                given_up = True
                raise

    def environment(self) -> dict[str, str]:
        """The addresses, as the service's settings read them."""
        url = {name: server.url for name, server in self._servers.items()}
        return {
            "DATABASE_URL": url["control"],
            "PROFILES_DATABASE_URL": url["profiles"],
            "SHARDS": ",".join(f"{name}={url[name]}" for name in self.names if name.startswith("shard_")),
            "REDIS_URL": url["redis"],
        }

    def fallen(self) -> list[str]:
        """The servers that should be running and are not."""
        return [name for name, server in self._servers.items() if server.has_fallen]

    def start_server(self, name: str, *, cancelled: Callable[[], bool] = _never) -> None:
        self._server(name).start(cancelled=cancelled)

    def stop_server(self, name: str) -> None:
        self._server(name).stop()

    def kill_server(self, name: str) -> None:
        """SIGKILL, as in a power failure."""
        self._server(name).kill()

    def log_of(self, name: str) -> Path:
        return self._server(name).log

    def _server(self, name: str) -> Server:
        if name not in self._servers:
            raise EmbeddedError(f"no server named {name!r} here: there are {', '.join(self._servers) or 'none'}")
        return self._servers[name]

    def stop(self, *, cut_short: Callable[[], bool] = _never) -> None:
        """Stop all at once; no process is left."""
        if self._servers:
            with ThreadPoolExecutor(max_workers=len(self._servers)) as pool:
                for stop in [pool.submit(server.stop, cut_short=cut_short) for server in self._servers.values()]:
                    stop.result()
        if self._owns_lock:
            self._lock.release()

    def destroy(self) -> None:
        """Stop, and delete the servers' data for good, also where it lies outside the directory."""
        layout = prepare_layout(self._directory)
        self.stop()
        for folder in (*map(layout.data, self.names), layout.sockets, layout.logs):
            shutil.rmtree(folder, ignore_errors=True)
        if layout.servers != self._directory:
            shutil.rmtree(layout.servers)
        for file in (POINTER, "servers.json", "ports.json", "secrets.json"):
            (self._directory / file).unlink(missing_ok=True)


def _data_major(layout: Layout) -> int | None:
    """The PostgreSQL version that wrote the data that is there."""
    version = layout.data("control") / "PG_VERSION"
    return int(version.read_text()) if version.exists() else None
