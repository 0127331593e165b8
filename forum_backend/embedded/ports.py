"""Each server's port: chosen once, kept in a file, changed only when a stranger has taken it."""

import os
import socket
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

from .errors import EmbeddedError
from .files import read_json, write_json

# Below 32768: a higher port may be in use as somebody's outgoing port when we want it back.
FIRST_PORT, LAST_PORT = 21500, 32767


def why_not_listen(port: int, *, host: str = "127.0.0.1") -> str | None:
    """What the system says against listening there; None when nothing does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Ports that only wait out a closed connection count as free, as they do for the servers themselves.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def is_free(port: int) -> bool:
    """Whether a server of ours could listen there."""
    return why_not_listen(port) is None


class PortBook:
    """The ports of one directory's servers.

    Each directory looks for new ones in a place of its own: the port of a server that died is free for a while, and
    another set, started beside it just then, must not come by it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._ports = {name: port for name, port in read_json(path).items() if isinstance(port, int)}

    def free_port_for(self, name: str) -> int:
        """The port this server had, or a new one if it had none or somebody took it."""
        with self._guard:
            port = self._ports.get(name)
            if port is None or not is_free(port):
                self._ports[name] = port = self._next_free()
                write_json(self._path, self._ports)
            return port

    def _next_free(self) -> int:
        used = set(self._ports.values())
        for port in self._from_own_place():
            if port not in used and is_free(port):
                return port
        raise EmbeddedError(f"no free port between {FIRST_PORT} and {LAST_PORT}")

    def _from_own_place(self) -> Iterator[int]:
        """All ports, from where this directory begins to look."""
        first = FIRST_PORT + zlib.crc32(os.fsencode(self._path)) % (LAST_PORT + 1 - FIRST_PORT)
        yield from range(first, LAST_PORT + 1)
        yield from range(FIRST_PORT, first)
