"""A move told in words: what it did and when, what it does or waits for, what comes next, what may be asked of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from forum_backend.data.control.moves.models import Move, StatusEvent
from forum_backend.domain.moves import FINAL, OVER, PAUSABLE, MoveState
from forum_backend.queries.admission import waiting_moves
from forum_backend.queries.moves import get_move, move_shape
from forum_backend.queries.shapes import timestamp
from forum_backend.queries.shards import shard_states, taking_forums
from forum_backend.queries.status_moves import allowed

# Of a move that went to and fro for very long, the last ones.
MOST_EVENTS = 500
PACE_EVENTS = 40
# What is done in each state until the next one is reached.
DOING = {
    MoveState.PLANNED: "looks for what would stop it, then makes room on the target",
    MoveState.PREPARED: "lets the source's writers finish once, and has every change logged from there on",
    MoveState.ARMED: "begins to copy",
    MoveState.COPYING: "copies the rows in chunks",
    MoveState.CATCHING_UP: "brings over what changed meanwhile, then compares every row",
    MoveState.VERIFIED: "brings over what changed since, until the rest fits into the window",
    MoveState.READY: "switches: a fence of milliseconds",
    MoveState.FENCED: "brings over the last changes and makes the target the owner; writers wait",
    MoveState.ACTIVATED: "has the source redirect, and tells everybody",
    MoveState.DEPARTED: "begins the time in which it can be taken back",
    MoveState.REVERSIBLE: "keeps the source's rows up to date for a rollback, then deletes them",
}
HOW = {
    "pause": "moves pause {id}",
    "hold": "moves pause {id} --at ready",
    "resume": "moves resume {id}",
    "cancel": "moves cancel {id}",
    "rollback": "moves rollback {id}",
}


@dataclass(frozen=True, slots=True)
class Passage:
    """A state that a move was in, from when, and for how long (None: it is in it now, or stays in it)."""

    state: str
    at: datetime
    lasted_s: float | None


def explain_move(*, move_id: int, now: datetime) -> dict[str, Any]:
    """All there is to say about a move, for programs and, in ``text``, for people. ``NotFound`` for an unknown one."""
    move = get_move(move_id)
    shape = move_shape(move)
    passages = _passages(move)
    pace = _pace(move) if move.state == MoveState.COPYING else None
    remaining_s = max(0, move.rows_total - move.rows_done) / pace if pace else None
    options = allowed(shape, now=now, taking=taking_forums(shard_states()))
    may = [{"do": action, "how": HOW[action].format(id=move.pk)} for action in options]
    waits = list(_waits(move, now=now))
    following = _next(MoveState(move.state))
    return {
        "move": shape,
        "history": [{"state": p.state, "at": timestamp(p.at), "lasted_s": p.lasted_s} for p in passages],
        "seconds_by_state": _by_state(passages),
        "waits": waits,
        "next": following,
        "may": may,
        "rows_per_s": pace,
        "remaining_s": None if remaining_s is None else round(remaining_s, 1),
        "text": [
            _beginning(move), *_told(passages, move), *waits, *_copying(move, pace, remaining_s),
            *([following] if following else []), *_result(move),
            *(f"You may {option['do']}: {option['how']}" for option in may),
        ],
    }  # fmt: skip


def _next(state: MoveState) -> str:
    if state in FINAL:
        return ""
    order = list(DOING)
    then = order[order.index(state) + 1 :][:1]
    return f"In {state} it {DOING[state]}" + "".join(f"; after that it {DOING[following]}" for following in then) + "."


def _passages(move: Move) -> list[Passage]:
    """From the status events: a state that was entered anew after a failure is told anew."""
    types = [f"move.{state}" for state in MoveState]
    events = StatusEvent.objects.filter(move=move, type__in=types).order_by("-number")
    entered = [(type_.removeprefix("move."), at) for type_, at in events.values_list("type", "at")[:MOST_EVENTS]][::-1]
    lefts: list[datetime | None] = [*(at for _, at in entered[1:]), None]
    return [
        Passage(state, at, None if left is None else round((left - at).total_seconds(), 3))
        for (state, at), left in zip(entered, lefts, strict=True)
    ]


def _by_state(passages: Iterable[Passage]) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for passage in passages:
        if passage.lasted_s is not None:
            seconds[passage.state] = round(seconds.get(passage.state, 0.0) + passage.lasted_s, 3)
    return seconds


def _waits(move: Move, *, now: datetime) -> Iterator[str]:
    """Why nothing happens now, or why it is slow; nothing to say of a move that is over."""
    if move.state in FINAL:
        return
    has_mover = move.leased_until is not None and move.leased_until > now
    place = waiting_moves(now=now).get(move.pk)
    if move.is_cancelled:
        yield "It was cancelled: the next mover gives it up."
    elif move.pause_at == move.state:
        yield f"It is paused in {move.state}."
    elif place is not None:
        yield f"It waits for {place}."
    elif move.not_before > now and not has_mover:
        why = "looks again" if move.state == MoveState.REVERSIBLE else "tries again"
        yield f"It rests, and {why} in {(move.not_before - now).total_seconds():.1f} s."
    elif has_mover and move.leased_until is not None:
        yield f"A mover is at it; were it dead, another would take over in {(move.leased_until - now).seconds} s."
    elif move.leased_until is not None:
        silent_s = (now - move.leased_until).total_seconds()
        yield f"Its mover's lease ran out {silent_s:.0f} s ago: the next beat hands it to another one."
    else:
        due_s = max(0.0, (now - move.not_before).total_seconds())
        yield f"It has been due for {due_s:.0f} s: if this lasts, does beat run, and a Celery worker on queue moves?"
    if move.pause_at and move.pause_at != move.state:
        yield f"It is to wait in {move.pause_at}."
    if move.throttled_by:
        yield f"It is slowed down: {move.throttled_by}."


def _beginning(move: Move) -> str:
    what = f"takes move {move.rolls_back_id} back: forum" if move.rolls_back_id else "brings forum"
    why = f", because {move.reason}" if move.reason and not move.rolls_back_id else ""
    return (
        f"Move {move.pk} {what} {move.forum_id} ({move.forum.slug}) from {move.source_id} to {move.target_id}{why}. "
        f"It was asked for at {timestamp(move.created_at)} and is {move.state}."
    )


def _told(passages: Iterable[Passage], move: Move) -> Iterator[str]:
    parts = [p.state if p.lasted_s is None else f"{p.state} {p.lasted_s:.2f} s" for p in passages]
    if parts:
        yield f"Its way: {', '.join(parts)}."
    if move.attempts:
        yield f"{move.attempts} attempts failed; the last one: {move.error}"


def _pace(move: Move) -> float | None:
    """Rows a second as they really arrived lately, rests included; None before there is anything to go by."""
    events = StatusEvent.objects.filter(move=move, type="move.progress").order_by("-number")
    points: list[tuple[datetime, int]] = [
        (at, data["rows_done"])
        for at, data in events.values_list("at", "data")[:PACE_EVENTS]
        if data["state"] == MoveState.COPYING
    ]
    if len(points) < 2 or points[0][0] <= points[-1][0] or points[0][1] <= points[-1][1]:
        return move.rows_per_s
    rows, seconds = points[0][1] - points[-1][1], (points[0][0] - points[-1][0]).total_seconds()
    return round(rows / seconds, 1)


def _copying(move: Move, pace: float | None, remaining_s: float | None) -> Iterator[str]:
    if pace and remaining_s is not None:
        yield (
            f"{move.rows_done:,} of {move.rows_total:,} rows are copied, {pace:,.0f} a second: "
            f"some {remaining_s:.0f} s are left."
        )
    if move.lag and move.state in PAUSABLE:
        yield f"{move.lag:,} changes wait to be brought over."
    if move.predicted_window_ms is not None and move.state in PAUSABLE:
        yield (
            f"Its window is predicted to be {move.predicted_window_ms:.0f} ms; the budget is {settings.MOVE_BUDGET_MS}."
        )


def _result(move: Move) -> Iterator[str]:
    if move.window_ms is not None:
        yield f"The forum took no writes for {move.window_ms:.1f} ms."
    if move.verdict and "rows" in move.verdict and move.state in OVER:
        repaired = move.verdict.get("repaired_rows", 0)
        said = f"{repaired} that differed were copied again" if repaired else "none differed"
        yield f"{move.verdict['rows']:,} rows were verified, content {move.verdict['content']}; {said}."
    if move.state == MoveState.REVERSIBLE and move.reversible_until is not None:
        yield f"It can be taken back until {timestamp(move.reversible_until)}."
    if move.state == MoveState.ABORTED:
        left = "; its rows are being taken off the target" if move.has_leftovers else ""
        yield f"It was given up; the forum stayed on {move.source_id}{left}."
