"""What the image's web process writes down: nobody's address, nobody's token."""

import subprocess
import sys

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.architecture.test_deployment import ROOT, web_command_of_the_image
from tests.processes import eventually, free_port
from tests.running import answers


def test_who_follows_is_not_written_down() -> None:
    port = free_port()
    options = {"0.0.0.0": "127.0.0.1", "8000": str(port)}  # noqa: S104 - as the image has it
    words = [options.get(word, word) for word in web_command_of_the_image()]
    with subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, stdout=-1, stderr=-2, text=True) as process:
        try:
            eventually(lambda: answers(port))
            with connect(f"ws://127.0.0.1:{port}/ws/status?token=secret") as socket, pytest.raises(ConnectionClosed):
                list(socket)
        finally:
            process.terminate()
        written = process.communicate(timeout=20)[0]
    assert "secret" not in written
    assert "127.0.0.1" not in written
