"""The status page without scripts: who may see it, what may be asked of a move, how refusals are said."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from forum_backend.data.control.directory.models import ForumPlacement, Shard
from forum_backend.data.control.moves.models import Move, StatusEvent
from forum_backend.domain.moves import MoveState
from forum_backend.embedded import EmbeddedServers
from forum_backend.queries.explanation import explain_move
from forum_backend.queries.status_page import windows_shape
from routers.registry import registry
from tests import factories
from tests.integration.moves.driving import expire_lease, populated
from tests.integration.web.browser import Browser
from tests.integration.web.fleet import Part, end_moves, make_move
from workers.rebalance.runner import drive

EVIL = "\"><img src=x onerror=alert(1)>'</script><script>alert(2)"


@pytest.fixture(autouse=True)
def _quiet_fleet() -> Iterator[None]:
    end_moves()
    yield
    end_moves()


@pytest.fixture
def staff(browser: Browser) -> Browser:
    return browser.sign_in(factories.make_user(is_staff=True))


def asked(browser: Browser, move: Move, do: str, **headers: str) -> Any:
    """Press one of a move's buttons, or send what no button would."""
    fields = {**browser.hidden("/status/"), "do": do}
    return browser.client.post(f"/status/moves/{move.pk}", fields, headers=headers)


def stored(move: Move) -> Move:
    return Move.objects.get(pk=move.pk)


@pytest.mark.parametrize("path", ["", "move", "moves/1", "plan", "plan/0123456789abcdef0123/apply"])
def test_only_staff_get_in(browser: Browser, path: str) -> None:
    """Strangers are led to the sign-in page, members are refused; nothing is done for either."""
    send = browser.get if not path else browser.client.post
    fields = {} if not path else browser.hidden("/sign-in")
    before = StatusEvent.objects.count()
    answer = send(f"/status/{path}", data=fields)
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/sign-in")
    browser.sign_in(factories.make_user())
    fields = {} if not path else browser.hidden("/me")
    assert send(f"/status/{path}", data={**fields, "do": "cancel"}).status_code == 403
    assert StatusEvent.objects.count() == before


def test_a_form_of_another_site_does_nothing(staff: Browser) -> None:
    move = make_move()
    assert staff.client.post(f"/status/moves/{move.pk}", {"do": "cancel"}).status_code == 403
    assert not stored(move).is_cancelled


@pytest.mark.parametrize(
    ("state", "fields", "expected"),
    [
        (MoveState.PLANNED, {}, ["pause", "hold", "cancel"]),
        (MoveState.COPYING, {}, ["pause", "hold", "cancel"]),
        (MoveState.COPYING, {"error": "no route", "attempts": 1}, ["pause", "resume", "hold", "cancel"]),
        (MoveState.COPYING, {"pause_at": "copying"}, ["resume", "hold", "cancel"]),
        (MoveState.COPYING, {"pause_at": "ready"}, ["pause", "resume", "cancel"]),
        (MoveState.COPYING, {"is_cancelled": True}, []),
        (MoveState.READY, {}, ["pause", "cancel"]),
        (MoveState.READY, {"pause_at": "ready"}, ["resume", "cancel"]),
        (MoveState.FENCED, {}, []),
        (MoveState.ACTIVATED, {}, []),
    ],
)
def test_the_buttons_are_what_is_allowed(
    staff: Browser, state: MoveState, fields: dict[str, Any], expected: list[str]
) -> None:
    move = make_move(state, **fields)
    part = Part(staff.html("/status/"), f"move-{move.pk}")
    assert part.buttons == expected
    assert move.forum.slug in part.words
    for do in expected:
        end_moves()
        assert asked(staff, make_move(state, **fields), do).status_code == 303, f"{do} is shown, but refused"


@pytest.mark.parametrize(
    ("state", "until", "expected"),
    [
        (MoveState.DEPARTED, None, []),
        (MoveState.REVERSIBLE, timedelta(minutes=5), ["rollback"]),
        (MoveState.REVERSIBLE, timedelta(minutes=-5), []),
        (MoveState.CLEANED, None, []),
        (MoveState.ABORTED, None, []),
    ],
)
def test_only_what_can_be_rolled_back_has_a_button_for_it(
    staff: Browser, state: MoveState, until: timedelta | None, expected: list[str]
) -> None:
    move = make_move(state, reversible_until=until and timezone.now() + until)
    assert Part(staff.html("/status/"), f"past-{move.pk}").buttons == expected


def test_no_way_back_is_offered_to_a_shard_that_takes_no_forums(staff: Browser) -> None:
    """After a drain each past move would have a button that is refused."""
    move = make_move(MoveState.REVERSIBLE)
    offered = {"active": ["rollback"], "draining": [], "removed": []}
    for state, buttons in offered.items():
        Shard.objects.filter(pk="shard_00").update(state=state)
        try:
            assert Part(staff.html("/status/"), f"past-{move.pk}").buttons == buttons
            assert [option["do"] for option in explain_move(move_id=move.pk, now=timezone.now())["may"]] == buttons
        finally:
            Shard.objects.filter(pk="shard_00").update(state="active")
            registry.refresh()


def test_past_moves_stand_in_the_order_in_which_they_were_settled(staff: Browser) -> None:
    """A large one that was asked for first is settled last; one that is cleaned up later keeps its place."""
    now, yesterday = timezone.now(), timezone.now() - timedelta(days=1)
    second, third = now - timedelta(milliseconds=1), now - timedelta(milliseconds=2)
    ends: dict[MoveState, Any] = {
        MoveState.REVERSIBLE: {"settled_at": now, "reversible_until": now + timedelta(hours=1)},
        MoveState.ABORTED: {"settled_at": second, "finished_at": second},
        MoveState.CLEANED: {"settled_at": third, "finished_at": now},
    }
    expected = [make_move(state, **fields) for state, fields in ends.items()]
    for _ in range(20):  # asked for later, and over since long ago
        make_move(MoveState.CLEANED, settled_at=yesterday, finished_at=yesterday)
    shown = re.findall(r'id="past-(\d+)"', staff.html("/status/"))
    assert shown[:3] == [str(move.pk) for move in expected]
    assert len(shown) == 21, "and the one to be filled in by a script"


def test_pause_hold_resume_and_cancel_do_what_they_say_twice_as_once(staff: Browser) -> None:
    move = make_move(MoveState.COPYING)
    for do, pause_at in (("pause", "copying"), ("resume", ""), ("hold", "ready"), ("resume", "")):
        answers = [asked(staff, move, do) for _ in range(2)]
        assert [(answer.status_code, answer["Location"]) for answer in answers] == [
            (303, f"/status/#move-{move.pk}")
        ] * 2
        assert stored(move).pause_at == pause_at
    asked(staff, move, "cancel")
    assert stored(move).is_cancelled
    Move.objects.filter(pk=move.pk).update(state=MoveState.ABORTED)  # as the next mover does
    assert asked(staff, move, "cancel").status_code == 303, "it was cancelled: the second click is no mistake"
    assert asked(staff, move, "resume").status_code == 409


def test_a_real_move_is_rolled_back_once(staff: Browser, settings: Any) -> None:
    settings.MOVE_BUDGET_MS = 1_500
    place = populated("shard_00", "shard_01")
    move = place.plan()
    drive(move_id=move.pk, token=expire_lease(move))
    assert stored(move).state == MoveState.REVERSIBLE
    assert Part(staff.html("/status/"), f"past-{move.pk}").buttons == ["rollback"]
    answers = [asked(staff, move, "rollback") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    back = Move.objects.get(rolls_back=move)
    assert (back.source_id, back.target_id, back.requested_by.is_staff) == ("shard_01", "shard_00", True)
    part = Part(staff.html("/status/"), f"move-{back.pk}")
    assert f"takes move {move.pk} back" in part.words


def test_a_refusal_stands_beside_its_move(staff: Browser) -> None:
    move, other = make_move(MoveState.FENCED), make_move(MoveState.COPYING)
    refused = asked(staff, move, "pause")
    page = refused.content.decode()
    reason = f"Move {move.pk} is fenced: it does not come to ready any more"
    assert refused.status_code == 409
    assert reason in Part(page, f"move-{move.pk}").words
    assert reason not in Part(page, f"move-{other.pk}").words
    told = asked(staff, move, "pause", accept="application/json")
    assert (told.status_code, told.json()) == (409, {"detail": reason})
    assert asked(staff, other, "pause", accept="application/json").json() == {"detail": ""}


def test_a_refusal_of_a_move_that_is_not_shown_is_said_above(staff: Browser) -> None:
    old = make_move(MoveState.CLEANED)
    for _ in range(20):
        make_move(MoveState.CLEANED)
    refused = asked(staff, old, "rollback")
    assert refused.status_code == 409
    assert f"Move {old.pk} is cleaned: only a reversible one can be rolled back" in refused.content.decode()


@pytest.mark.parametrize("do", ["", "fence", "pause_move"])
def test_what_cannot_be_asked_is_refused_in_words(staff: Browser, do: str) -> None:
    move = make_move()
    refused = asked(staff, move, do)
    assert refused.status_code == 422
    assert "This cannot be asked of a move" in Part(refused.content.decode(), f"move-{move.pk}").words


@pytest.mark.parametrize("number", ["0", "999999999999", "9" * 40])
def test_a_move_that_is_none_is_a_page_that_says_so(staff: Browser, number: str) -> None:
    answer = staff.client.post(f"/status/moves/{number}", {**staff.hidden("/status/"), "do": "pause"})
    assert answer.status_code == 404
    assert "There is no" in answer.content.decode()


def test_what_others_wrote_is_never_run(staff: Browser) -> None:
    texts = {"error": EVIL, "throttled_by": EVIL, "reason": EVIL, "attempts": 2}
    moves = [make_move(MoveState.COPYING, **texts), make_move(MoveState.CLEANED, **texts)]
    for number, move in enumerate(moves):
        ForumPlacement.objects.filter(pk=move.forum_id).update(slug=f"{EVIL[:50]}{move.pk}"[-60:])
        page = staff.html("/status/")
        assert "<img" not in page.replace('<img src="/static/web/mark.svg"', "")
        assert "<script>" not in page
        part = Part(page, f"{'move' if not number else 'past'}-{move.pk}")
        assert EVIL in part.words, "it is shown as text"
        assert "2 attempts failed; the last one" in part.words


def test_a_move_says_how_it_goes(staff: Browser) -> None:
    facts = {
        "rows_per_s": 41_234.6,
        "lag": 12,
        "predicted_window_ms": 8.25,
        "throttled_by": "writes on shard_00 take 30 ms",
    }
    move = make_move(MoveState.COPYING, **facts)
    page = staff.html("/status/")
    words = " ".join(Part(page, f"move-{move.pk}").words.split())
    for text in ("copying, 25 %", "40 of 160 rows", "41,235 rows/s", "12 changes", "8.2 ms", "Slowed down: writes on"):
        assert text in words
    assert 'max="160" value="40"' in page
    assert 'data-step="armed" data-done' in page
    assert 'data-step="copying" aria-current="step"' in page


def test_the_history_has_twenty_rows_and_two_hundred_windows(staff: Browser) -> None:
    verdict = {"rows": 1_234, "content": "00ff00ff00ff00ff", "repaired_rows": 2}
    moves = [make_move(MoveState.CLEANED, window_ms=100.0, verdict=verdict) for _ in range(21)]
    page = staff.html("/status/")
    assert f'id="past-{moves[0].pk}"' not in page
    words = Part(page, f"past-{moves[1].pk}").words
    assert "1,234 rows, 00ff00ff00ff00ff, 2 copied again" in words
    assert "100 ms" in words


def test_figures_of_windows() -> None:
    shape = windows_shape([float(number) for number in range(1, 201)])
    assert (shape["count"], shape["p50"], shape["p99"], shape["max"]) == (200, 100.0, 198.0, 200.0)
    assert [bar["count"] for bar in shape["bars"]] == [2, 3, 5, 10, 30, 50, 50, 50]
    assert [bar["share"] for bar in shape["bars"]][:3] == [4.0, 6.0, 10.0]
    assert [bar["name"] for bar in shape["bars"]][::7] == ["up to 2", "over 150"]
    empty = windows_shape([])
    assert (empty["p50"], empty["max"], {bar["share"] for bar in empty["bars"]}) == (None, None, {0.0})


def test_a_dead_shard_is_shown_as_not_answering(staff: Browser, servers: EmbeddedServers) -> None:
    servers.kill_server("shard_02")
    try:
        page = staff.html("/status/")
        assert page.count("not answering") == 1
    finally:
        servers.start_server("shard_02")
    assert registry.aliases() == ["shard_00", "shard_01", "shard_02"]
