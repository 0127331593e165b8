"""`migrate_all --check`: the databases that there are now, each with what it lacks."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from forum_backend.data.control.directory.models import Shard
from routers.registry import registry
from tests.integration.fleet.databases import forget, new_databases

NAME = "shard_77"
FIRST = ["default", "profiles", "shard_00", "shard_01", "shard_02"]


@pytest.fixture
def added() -> Iterator[None]:
    """A shard that another process has added: an empty database, which this process has not heard of."""
    with new_databases() as (dsn,):
        Shard.objects.create(pk=NAME, dsn=dsn)
        yield
        forget(NAME)


def checked() -> tuple[dict[str, Any], str]:
    """What each database lacks, and what the command complains of."""
    out, complaint = io.StringIO(), ""
    try:
        call_command("migrate_all", "--check", "--json", stdout=out)
    except CommandError as error:
        complaint = str(error)
    return {state["alias"]: state for state in json.loads(out.getvalue())}, complaint


def test_a_shard_that_was_added_later_is_looked_at(added: None) -> None:
    states, complaint = checked()
    assert list(states) == [*FIRST, NAME]
    assert (complaint, states[NAME]["error"]) == (f"Behind: {NAME}", "")
    assert "forums.0001_initial" in states[NAME]["missing"]


def test_a_shard_that_was_removed_is_not(added: None) -> None:
    registry.refresh()
    Shard.objects.filter(pk=NAME).update(state=Shard.State.REMOVED)
    states, complaint = checked()
    assert (list(states), complaint) == (FIRST, "")


def test_without_the_control_database_the_others_are_looked_at(no_control: None) -> None:
    states, complaint = checked()
    assert (list(states), complaint) == (FIRST, "Behind: default")
    assert states["default"]["error"]
