"""The service is not served with a secret that everybody knows; commands that sign nothing need none."""

import os
import subprocess
import sys

ASGI, COMMAND = ["-c", "import forum_backend.asgi"], ["manage.py", "help"]


def run(words: list[str], **secret: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("SECRET_KEY", "DEBUG")}
    return subprocess.run([sys.executable, *words], env={**kept, **secret}, capture_output=True, text=True, timeout=60)


def test_no_secret_no_service() -> None:
    refused = run(ASGI)
    assert refused.returncode != 0
    assert "Set SECRET_KEY" in refused.stderr
    assert run(ASGI, SECRET_KEY="a-secret").returncode == 0
    assert run(COMMAND).returncode == 0
