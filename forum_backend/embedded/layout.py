"""Where everything lies: the caller's directory, and beside or beyond it the folders of the servers' user."""

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .account import Account, account_for
from .errors import DirectoryUnusable

SYSTEM_DIRECTORY = Path("/var/lib/forum-backend")
POINTER = "servers_directory"
MAX_SOCKET_DIRECTORY = 80  # the system's limit is about 104 for folder and file name together


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The folders of one set of servers."""

    directory: Path
    servers: Path
    sockets: Path
    account: Account

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def data(self, name: str) -> Path:
        return self.servers / name


def servers_directory(directory: Path) -> Path:
    """Where the data of this directory's servers lies: here, or where a pointer says."""
    pointer = directory / POINTER
    return Path(pointer.read_text(encoding="utf-8").strip()) if pointer.exists() else directory


def shards_present(directory: Path) -> int:
    """How many shards this directory has data for."""
    servers = servers_directory(directory)
    return len([path for path in servers.glob("shard_[0-9][0-9]") if path.is_dir()]) if servers.exists() else 0


def prepare_layout(directory: Path) -> Layout:
    """Choose the user and the folders, and make what is missing."""
    directory = directory.resolve()
    try:
        return _prepare(directory)
    except OSError as error:
        raise DirectoryUnusable(f"{directory} cannot hold the servers: {error.strerror} ({error.filename})") from error


def _prepare(directory: Path) -> Layout:
    directory.mkdir(parents=True, exist_ok=True)
    servers = servers_directory(directory)
    account = account_for(owner_uid=_owner(servers / "control"))
    if account.is_other and not account.can_enter(servers):
        if (servers / "control").exists():
            raise DirectoryUnusable(f"the user {account.name} cannot reach its data in {servers}: let it pass")
        servers = SYSTEM_DIRECTORY / _short_hash(directory)
        _make_passable(SYSTEM_DIRECTORY)
        _make_passable(servers)
        (directory / POINTER).write_text(f"{servers}\n", encoding="utf-8")
    (directory / "logs").mkdir(mode=0o700, exist_ok=True)
    return Layout(directory=directory, servers=servers, sockets=_sockets(servers, account), account=account)


def _owner(data: Path) -> int | None:
    return data.stat().st_uid if data.exists() else None


def _short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _make_passable(path: Path) -> None:
    """A folder of ours that others may pass through but not list."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o711)


def _sockets(servers: Path, account: Account) -> Path:
    path = servers / "sockets"
    if len(os.fsencode(path)) > MAX_SOCKET_DIRECTORY:
        path = Path(tempfile.gettempdir()) / f"forum-{account.uid}-{_short_hash(servers)}"
        if len(os.fsencode(path)) > MAX_SOCKET_DIRECTORY:
            path = Path("/tmp") / path.name  # noqa: S108 - made private and checked below
    if not path.exists():
        path.mkdir(mode=0o700)
        account.give(path, mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or stat.S_IMODE(found.st_mode) & 0o077:
        raise DirectoryUnusable(f"{path} must be a private folder of the user {account.name}: remove it")
    return path
