"""One Valkey (or Redis) server with an append-only file."""

import signal
import socket
from collections.abc import Sequence

from .postgres import clean_environment
from .processes import Child, spawn
from .programs import Program
from .server import Server, Surroundings


class ValkeyServer(Server):
    """Listens on the loopback address with a password of its own."""

    stop_steps: Sequence[tuple[int, float]] = ((signal.SIGTERM, 10), (signal.SIGKILL, 5))

    def __init__(self, *, name: str, surroundings: Surroundings, program: Program) -> None:
        super().__init__(name=name, surroundings=surroundings)
        self._program = program

    @property
    def password(self) -> str:
        return self.around.secrets.get("redis_password")

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        if not self.data.exists():
            self.make_private_folder(self.data)

    def launch(self) -> Child:
        # The settings go in by standard input: a command line would show the password to everybody.
        return spawn(
            argv=[str(self._program.path), "-"],
            env=clean_environment(),
            log=self.log,
            account=self.around.layout.account,
            stdin=self._settings().encode(),
        )

    def _settings(self) -> str:
        folder = str(self.data).replace("\\", "\\\\").replace('"', '\\"')
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.password}",
            f'dir "{folder}"',
            "appendonly yes",
            f"appendfsync {'everysec' if self.around.durable else 'no'}",
            'save ""',
            "daemonize no",
        ]
        return "\n".join(lines) + "\n"

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as link:
                link.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                return self._read_answers(link) == b"+OK\r\n+PONG\r\n"
        except OSError:
            return False

    def _read_answers(self, link: socket.socket) -> bytes:
        """Two lines, or what came before the other side closed; it says an error while it loads its data."""
        said = b""
        while said.count(b"\r\n") < 2 and len(said) < 1024:
            part = link.recv(256)
            if not part:
                break
            said += part
        return said

    def repair(self) -> bool:
        said = self.said()
        if "append only file" in said.lower() and "Bad file format" in said:
            return self._set_aside_damaged()
        return "Address already in use" in said

    def _set_aside_damaged(self) -> bool:
        """Start empty when the append-only file is beyond reading: everything in here can be rebuilt."""
        damaged = self.data / "appendonlydir"
        aside = self.data / "appendonlydir.damaged"
        if not damaged.exists() or aside.exists():
            return False
        damaged.rename(aside)
        return True
