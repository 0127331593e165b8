"""One process at a time may use a directory of servers."""

import fcntl
import os
from pathlib import Path

from .errors import AlreadyRunning, DirectoryUnusable


class DirectoryLock:
    """Held until release or the end of the process, however it ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._handle: int | None = None

    @property
    def is_held(self) -> bool:
        return self._handle is not None

    def acquire(self) -> None:
        if self._handle is not None:
            return
        handle = self._open()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            raise AlreadyRunning(f"{self._directory} is in use by process {holder}: stop that one first") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle

    def _open(self) -> int:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            return os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DirectoryUnusable(
                f"{self._directory} cannot hold data ({error.strerror}): name a directory that you may write to"
            ) from error

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
