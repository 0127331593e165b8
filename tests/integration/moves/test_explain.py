"""What is said of a move is what it does: waiting, resting, failing, copying, done."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.utils import timezone

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import NotFound
from forum_backend.domain.moves import MoveState
from forum_backend.queries.explanation import explain_move
from forum_backend.services.move_control import cancel_move, pause_move, resume_move
from tests.integration.moves.driving import (
    at,
    content,
    drive_to_end,
    end_movers_connections,
    expire_lease,
    populated,
)
from tests.integration.moves.test_api import client
from workers.rebalance import copy
from workers.rebalance.runner import drive


def explained(move: Move) -> dict[str, Any]:
    return explain_move(move_id=move.pk, now=timezone.now())


def waits(move: Move) -> str:
    return " ".join(explained(move)["waits"])


def may(move: Move) -> list[str]:
    return [option["do"] for option in explained(move)["may"]]


def test_a_finished_move_is_told_by_its_states_its_window_and_its_verdict() -> None:
    place = populated()
    before = content(place.forum)
    move = drive_to_end(place.plan())
    told = explained(move)
    states = [passage["state"] for passage in told["history"]]
    assert states == [state for state in MoveState if state != MoveState.ABORTED]
    assert told["history"][-1]["lasted_s"] is None
    assert told["seconds_by_state"].keys() == set(states[:-1])
    assert all(seconds >= 0 for seconds in told["seconds_by_state"].values())
    assert sum(told["seconds_by_state"].values()) <= (timezone.now() - move.created_at).total_seconds()
    text = "\n".join(told["text"])
    assert f"The forum took no writes for {move.window_ms:.1f} ms" in text
    rows = sum(table.rows for table in before.values())
    assert f"{rows} rows were verified" in text
    assert "none differed" in text
    assert (told["waits"], told["next"], told["may"]) == ([], "", [])


def test_a_move_that_waits_says_for_what(settings: Any) -> None:
    move = populated().plan()
    assert "It has been due for" in waits(move)
    assert may(move) == ["pause", "hold", "cancel"]
    assert "makes room on the target" in explained(move)["next"]
    pause_move(move_id=move.pk, at="", now=timezone.now())
    assert waits(move) == "It is paused in planned."
    pause_move(move_id=move.pk, at="ready", now=timezone.now())
    assert waits(move).endswith("It is to wait in ready.")
    resume_move(move_id=move.pk, now=timezone.now() + timedelta(seconds=9))
    assert "tries again in" in waits(move)
    settings.MOVES_AT_ONCE = 0
    resume_move(move_id=move.pk, now=timezone.now())
    assert waits(move) == "It waits for a place: 0 moves run, at most 0 may."
    Move.objects.filter(pk=move.pk).update(leased_until=timezone.now() + timedelta(seconds=9))
    settings.MOVES_AT_ONCE = 1_000
    assert "A mover is at it; were it dead, another would take over in" in waits(move)
    Move.objects.filter(pk=move.pk).update(leased_until=timezone.now() - timedelta(seconds=9))
    assert "lease ran out 9 s ago" in waits(move)
    cancel_move(move_id=move.pk, now=timezone.now())
    assert "It was cancelled" in waits(move)
    drive(move_id=move.pk, token=expire_lease(move))
    assert "It was given up; the forum stayed on shard_00." in explained(move)["text"]


def test_a_failed_attempt_is_told_with_its_error() -> None:
    place = populated()
    move = place.plan()
    drive(
        move_id=move.pk, token=move.token,
        observe=at("arm.before", lambda: end_movers_connections(place.source) and None),
    )  # fmt: skip
    told = explained(move)
    assert [passage["state"] for passage in told["history"]] == ["planned", "prepared", "planned"]
    assert any(line.startswith("1 attempts failed; the last one: ") for line in told["text"])
    assert "It rests, and tries again in" in told["waits"][0]


def test_a_copy_is_told_with_its_pace_and_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "CHUNK", 3)
    monkeypatch.setattr("workers.rebalance.mover.TELL_EVERY_S", 0.0)
    move = populated().plan()
    seen: list[dict[str, Any]] = []
    # At the end of the copy, not yet recorded as over.
    drive(move_id=move.pk, token=move.token, observe=at("copy.done", lambda: seen.append(explained(move))))
    (told,) = seen
    assert told["move"]["state"] == MoveState.COPYING
    assert told["rows_per_s"] > 0
    assert told["remaining_s"] == 0
    assert any("11 of 11 rows are copied" in line for line in told["text"])
    assert told["history"][-1] == {**told["history"][-1], "state": "copying", "lasted_s": None}


def test_the_terminal_and_the_api_say_the_same() -> None:
    move = drive_to_end(populated().plan())
    out = StringIO()
    call_command("moves", "explain", str(move.pk), stdout=out)
    call_command("moves", "explain", str(move.pk), "--json", stdout=out)
    *lines, as_json = out.getvalue().splitlines()
    assert lines == json.loads(as_json)["text"]
    assert lines[0].startswith(f"Move {move.pk} brings forum {move.forum_id} (")


async def test_staff_is_told_over_the_api() -> None:
    move = await sync_to_async(lambda: populated().plan())()
    async with client(is_staff=True) as http:
        told = (await http.get(f"/moves/{move.pk}/explain")).json()
        assert told["move"]["id"] == str(move.pk)
        assert told["may"][0]["how"] == f"moves pause {move.pk}"
        assert (await http.get("/moves/0/explain")).status_code == 404
    async with client(is_staff=False) as http:
        assert (await http.get(f"/moves/{move.pk}/explain")).status_code == 403


def test_there_is_nothing_to_say_of_a_move_that_is_not() -> None:
    with pytest.raises(NotFound):
        explain_move(move_id=0, now=timezone.now())
