"""Which user the servers run as: oneself, or another one for root, because PostgreSQL refuses root."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DirectoryUnusable

PREFERRED_USERS = ("postgres", "nobody")


@dataclass(frozen=True, kw_only=True)
class Account:
    """The user that the servers run as and that owns their data."""

    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """True when it is not the user that runs this process."""
        return self.uid != os.geteuid()

    def run(
        self, argv: Sequence[str], *, seconds: float, env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a short command as this user."""
        identity: dict[str, Any] = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=seconds, check=False, cwd="/", env=env, **identity
        )

    def can_enter(self, directory: Path) -> bool:
        """Whether this user may pass through the directory and all its parents."""
        if not self.is_other:
            return os.access(directory, os.X_OK)
        return self.run([shutil.which("test") or "/bin/test", "-x", str(directory)], seconds=10).returncode == 0

    def give(self, path: Path, *, mode: int) -> None:
        """Make this user the owner of a folder of ours."""
        if self.is_other:
            os.chown(path, self.uid, self.gid)
        path.chmod(mode)


def account_for(*, owner_uid: int | None) -> Account:
    """The account for data that belongs to `owner_uid`, or for new data when that is None."""
    if os.geteuid() == 0:
        return _account_of(owner_uid) if owner_uid else _first_preferred()
    if owner_uid is not None and owner_uid != os.geteuid():
        owner = _account_of(owner_uid).name
        raise DirectoryUnusable(f"the servers' data belongs to the user {owner}: run as {owner}, or as root")
    return _account_of(os.geteuid())


def _account_of(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:  # containers run under numbers without a name
        return Account(name=str(uid), uid=uid, gid=os.getegid() if uid == os.geteuid() else uid)
    return Account(name=entry.pw_name, uid=uid, gid=entry.pw_gid)


def _first_preferred() -> Account:
    for name in PREFERRED_USERS:
        try:
            return _account_of(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue
    raise DirectoryUnusable("PostgreSQL refuses to run as root: add a system user named postgres")
