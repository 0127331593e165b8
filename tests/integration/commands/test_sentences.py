"""A command that cannot do what it should says so in one line, and Ctrl-C is no error."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from forum_backend.commands.sentences import in_sentences
from forum_backend.domain.errors import Invalid
from tests.factories import unique
from tests.integration.moves.driving import populated
from tests.processes import ROOT

SMALL = Path(ROOT) / "tests" / "samples" / "disqus_small.xml"
COMMANDS = (
    ("moves", "status"),
    ("moves", "status", "--watch"),
    ("moves", "start", "some-forum", "shard_01"),
    ("moves", "plan"),
    ("moves", "limits"),
    ("shards", "list"),
    ("shards", "drain", "shard_01"),
    ("create_token", "somebody"),
    ("setup_demo",),
    ("export_disqus", "some-forum"),
    ("import_disqus", str(SMALL), "--forum", "some-forum"),
    ("migrate_all",),
    ("migrate_all", "--check"),
)


def test_a_control_database_that_is_down_is_a_sentence(no_control: None) -> None:
    for words in COMMANDS:
        with pytest.raises(CommandError, match=r"^[^\n]+$"):
            call_command(*words, stdout=io.StringIO(), stderr=io.StringIO())


def divided_by_zero() -> None:
    connections["default"].cursor().execute("SELECT 1 / 0")


def without_a_server() -> None:
    psycopg.connect("postgresql://nobody@127.0.0.1:1/nothing")


def not_taken() -> None:
    raise Invalid("This name will not do", fields={"name": "such as shard_03"})


@pytest.mark.parametrize(
    ("failing", "said"),
    [
        (divided_by_zero, "A database refused: division by zero"),
        (without_a_server, "A database does not answer: .*refused"),
        (not_taken, "This name will not do: such as shard_03"),
    ],
)
def test_what_goes_wrong_is_said(failing: Callable[[], None], said: str) -> None:
    with pytest.raises(CommandError, match=said) as caught, in_sentences():
        failing()
    assert "\n" not in str(caught.value)


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(Path(ROOT) / "manage.py"), *words]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("watched", "code"), [(True, 0), (False, 130)], ids=["watching", "waiting"])
def test_ctrl_c_ends_without_a_word(watched: bool, code: int) -> None:
    place = populated()
    words = ("start", str(place.forum), place.target, "--wait")
    if watched:
        words = ("status", str(place.plan().pk), "--watch")
    with running("moves", *words) as process:
        assert process.stdout is not None
        assert "planned" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (code, "")


def test_a_name_that_will_not_do_says_what_would() -> None:
    with pytest.raises(CommandError, match="This account cannot be made: Use letters"):
        call_command("create_token", f"{unique('no')} spaces")
