"""A standby of a running server that hears no more from some moment on, and takes its place later: a lossy failover."""

import shutil
from pathlib import Path

from forum_backend.embedded import EmbeddedServers
from forum_backend.embedded.postgres import SUPERUSER, PostgresServer, clean_environment

LIMIT_S = 60.0
# Recovery ends with what the backup has; PostgreSQL then begins a new timeline, as it does for a promoted standby.
END_OF_RECOVERY = "restore_command = '/bin/false'\nhot_standby = off\n"


class Standby:
    """Made now, from a running server."""

    def __init__(self, servers: EmbeddedServers, name: str) -> None:
        server = servers._server(name)
        assert isinstance(server, PostgresServer)
        self._servers, self._server = servers, server
        self._copy = Path(f"{server.data}.standby")
        shutil.rmtree(self._copy, ignore_errors=True)
        server.make_private_folder(self._copy)
        around = server.around
        done = around.layout.account.run(
            [
                str(server._program.path / "pg_basebackup"), "--pgdata", str(self._copy), "--checkpoint", "fast",
                "--wal-method", "fetch", "--no-sync", "--username", SUPERUSER,
                "--host", str(around.layout.sockets), "--port", str(server.port),
            ],
            seconds=LIMIT_S,
            env={**clean_environment(), "PGPASSWORD": around.secrets.get("postgres_password")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def take_over(self) -> None:
        """The server dies; what it wrote since is lost; the standby answers at its address."""
        server = self._server
        self._servers.kill_server(server.name)
        server.end_leftovers()
        shutil.rmtree(server.data)
        self._copy.rename(server.data)
        for name, text in (("recovery.signal", ""), ("postgresql.auto.conf", END_OF_RECOVERY)):
            file = server.data / name
            file.write_text(text)
            server.around.layout.account.give(file, mode=0o600)
        self._servers.start_server(server.name)
