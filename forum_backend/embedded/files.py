"""Small files that must survive a crash whole, and logs that must not grow for ever."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

LOG_LIMIT_BYTES = 5 * 1024 * 1024


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step; only its owner may read it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: dict[str, Any]) -> None:
    write_private(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file; an empty one when there is no file or it holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def keep_end(path: Path, *, limit: int = LOG_LIMIT_BYTES) -> None:
    """Cut a log down to its last bytes, from the start of a line."""
    if not path.exists() or path.stat().st_size <= limit:
        return
    with path.open("rb") as file:
        file.seek(-limit, os.SEEK_END)
        file.readline()
        end = file.read()
    path.write_bytes(end)


def last_lines(path: Path, *, lines: int = 15, since: int = 0) -> str:
    """The end of a log, for an error message; `since` leaves out what was there before."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(since, size - 64 * 1024))
        text = file.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])


class SavedSecrets:
    """Passwords that are made once and kept, readable only by the caller."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str) -> str:
        saved = read_json(self._path)
        if name not in saved:
            saved[name] = secrets.token_urlsafe(32)
            write_json(self._path, saved)
        return str(saved[name])
