"""A stranger's first minutes: one command, addresses, a staff sign-in; Ctrl-C; and all of it still there next time."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from forum_backend.commands.service import ADDRESSES, ROOT
from tests.journeys import people
from tests.journeys.people import expect
from tests.running import HOST, free_port, wait_for

pytestmark = pytest.mark.journey

FIRST_START_S, SECOND_START_S, STOP_S = 150.0, 60.0, 20.0
SERVERS_LEFT_S = 5.0
READY = "The forum service is ready."


class Up:
    """`manage.py up` as somebody types it, its output collected."""

    def __init__(self, data: Path, port: int) -> None:
        own = (*ADDRESSES, "SECRET_KEY", "FORUM_DATA", "DJANGO_SETTINGS_MODULE")
        environment = {name: value for name, value in os.environ.items() if name not in own}
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--data", str(data), "--port", str(port), "--no-demo"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line

    def wait_ready(self, *, seconds: float) -> float:
        """Until it prints its last line; tells how long that took."""
        wait_for(lambda: "Ctrl-C stops" in self.output or self.has_ended, seconds=seconds, what="the greeting")
        assert not self.has_ended, self.output
        return time.monotonic() - self._began

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        os.kill(self._process.pid, signal.SIGINT)
        code = self._process.wait(timeout=STOP_S)
        self._reader.join(timeout=5)
        return code

    def kill(self) -> None:
        if not self.has_ended:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=STOP_S)


def processes_of(data: Path) -> list[str]:
    """All processes of this machine that were given this data directory, by command line or environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            said = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if str(data).encode() in said:
            found.append(f"{folder.name} {(said[:120]).decode('utf-8', 'replace')}")
    return found


@pytest.fixture
def data() -> Iterator[Path]:
    """A directory that the servers' user can reach."""
    with tempfile.TemporaryDirectory(prefix="forum-up-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def test_one_command_starts_everything_and_ctrl_c_ends_it(data: Path) -> None:
    port = free_port()
    up = Up(data, port)
    try:
        first_s = up.wait_ready(seconds=FIRST_START_S)
        assert READY in up.output
        password = re.search(r"admin / (\S+)", up.output)
        assert password is not None, up.output
        look_around(port)
        slug = sign_in_and_write(port, password[1])
        assert up.interrupt() == 0, up.output
        wait_for(lambda: not processes_of(data), seconds=SERVERS_LEFT_S, what=f"the end of {processes_of(data)}")

        up = Up(data, port)
        second_s = up.wait_ready(seconds=SECOND_START_S)
        print(f"\nfirst start {first_s:.1f} s, second start {second_s:.1f} s, load {os.getloadavg()[0]:.1f}")
        with httpx.Client(base_url=f"http://{HOST}:{port}/api/v1", timeout=15) as client:
            forum = expect(client.get(f"/forums/{slug}"), 200)
            threads = expect(client.get(f"/forums/{forum['id']}/threads"), 200)["items"]
        assert [thread["title"] for thread in threads] == ["A journey"]
        assert up.interrupt() == 0, up.output
        wait_for(lambda: not processes_of(data), seconds=SERVERS_LEFT_S, what=f"the end of {processes_of(data)}")
    finally:
        up.kill()


def look_around(port: int) -> None:
    """What the greeting names can be opened."""
    with httpx.Client(base_url=f"http://{HOST}:{port}", timeout=15) as client:
        for path in ("/", "/api/v1/docs", "/api/v1/openapi.json", "/sign-in", "/readyz", "/healthz", "/metrics"):
            assert client.get(path).status_code == 200, path
        page = client.get("/").text
        for asset in re.findall(r'(?:href|src)="(/static/[^"]+)"', page + client.get("/api/v1/docs").text):
            assert client.get(asset).status_code == 200, asset


def sign_in_and_write(port: int, password: str) -> str:
    """As staff: the pages' sign-in, the status page, then the API with a token; tells the new forum's slug."""
    with httpx.Client(base_url=f"http://{HOST}:{port}", timeout=15) as client:
        assert client.get("/status/").status_code in (302, 303, 403)
        form = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get("/sign-in").text)
        assert form is not None
        sent = {"csrfmiddlewaretoken": form[1], "username": "admin", "password": password}
        assert client.post("/sign-in", data=sent).status_code in (302, 303)
        assert client.get("/status/").status_code == 200
        credentials = {"username": "admin", "password": password}
        token = expect(client.post("/api/v1/auth/token", json=credentials), 201)["token"]
    with httpx.Client(
        base_url=f"http://{HOST}:{port}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=15
    ) as client:
        forum = people.make_forum(client)
        people.make_thread(client, forum["id"])
        return str(forum["slug"])
