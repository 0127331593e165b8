"""Moves as rows of the control database: requested, taken over by token, advanced by compare-and-set."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max

from forum_backend.data.control.directory.models import ForumPlacement, Shard
from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import IdempotencyMismatch, MoveRefused, NotFound, TokenRefused
from forum_backend.domain.idempotency import checked_key
from forum_backend.domain.moves import FINAL, PAUSABLE, UNCOPIED, MoveState, OwnershipMode, may_follow
from forum_backend.queries.forum_read import forum_read, ownership_on
from forum_backend.queries.moves import get_move, move_shape
from forum_backend.services.doctor import refuse_what_stops_at_once
from forum_backend.services.loads import estimated_rows
from forum_backend.services.move_queue import has_place
from forum_backend.services.status_events import record_status
from forum_backend.services.waking import tell_directories, wake_relay
from routers.directory import Location, directory

MAX_ATTEMPTS = 8
BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
# What a mover finds out by the way, written down with each state and with its progress.
FACTS = (
    "rows_done", "rows_total", "rows_per_s", "lag", "throttled_by", "pressure", "predicted_window_ms", "verdict",
    "reversible_until",
)  # fmt: skip


class AskedToWait(Exception):
    """Somebody asked for a pause, or for the end, just before the fence: look again at what is asked."""


def request_move(
    *,
    forum_id: int,
    target: str,
    requested_by: int | None,
    now: datetime,
    key: str | None = None,
    pause_at: str = "",
    reason: str = "",
) -> Move:
    """Ask for a forum to be moved to a shard; a mover picks the row up. ``requested_by`` is a user's id.

    It waits for ``resume_move`` in the state ``pause_at``. ``reason`` is the planner's. An earlier move of the forum
    that could be rolled back still cannot be any more.

    Raises ``NotFound`` for an unknown forum, ``MoveRefused`` if the move cannot start, ``IdempotencyMismatch`` if the
    same user used ``key`` for another move; the same request again gives the same move.
    """
    key = checked_key(key)
    earlier = _requested_before(requested_by, key)
    if earlier is not None:
        if (earlier.forum_id, earlier.target_id) != (forum_id, target):
            raise IdempotencyMismatch
        return earlier
    if not ForumPlacement.objects.filter(pk=forum_id, deleted_at=None).exists():
        raise NotFound("forum", forum_id)
    _check_target(target)
    # To show how far the copy is, which finds out how many there are: counting them all may take minutes.
    source, rows = forum_read(forum_id, lambda alias: (alias, estimated_rows(alias, forum_id)))
    ownership = ownership_on(source, forum_id)
    if ownership.mode != OwnershipMode.OWNER:
        raise MoveRefused(f"Forum {forum_id} is {ownership.mode} on {source}: it is on the move already")
    if source == target:
        raise MoveRefused(f"Forum {forum_id} lives on {target} already")
    refuse_what_stops_at_once(source=source, target=target)
    planned = Move(
        forum_id=forum_id, source_id=source, target_id=target, epoch=ownership.epoch, rows_total=rows,
        requested_by_id=requested_by, request_key=key, not_before=now, created_at=now,
        pause_at=checked_pause(pause_at), reason=reason[:300],
    )  # fmt: skip
    return _plan(planned, now=now)


def checked_pause(state: str) -> str:
    """The name of a state in which a move may wait, or nothing."""
    if state and state not in PAUSABLE:
        raise MoveRefused(
            f"A move can wait in {', '.join(s for s in MoveState if s in PAUSABLE)}, not in {state[:40]!r}"
        )
    return state


def _requested_before(requested_by: int | None, key: str | None) -> Move | None:
    if key is None or requested_by is None:
        return None
    return Move.objects.filter(requested_by_id=requested_by, request_key=key).first()


def _check_target(target: str) -> None:
    shard = Shard.objects.filter(pk=target).first()
    if shard is None:
        raise MoveRefused(f"There is no shard {target[:40]!r}")
    if shard.state != Shard.State.ACTIVE:
        raise MoveRefused(f"{target} is {shard.state}: it takes no forums")


def _plan(move: Move, *, now: datetime) -> Move:
    try:
        with transaction.atomic(using="default"):
            move.token = next_token(move.forum_id)
            if ForumPlacement.objects.filter(pk=move.forum_id, epoch__gt=move.epoch).exists():
                raise MoveRefused(f"Forum {move.forum_id} has just been moved: ask again")
            move.save(force_insert=True)
            record_status(type="move.planned", data=move_shape(move), now=now, move_id=move.pk)
    except IntegrityError as error:
        same = _requested_before(move.requested_by_id, move.request_key)  # the same request, at the same moment
        if same is not None and (same.forum_id, same.target_id) == (move.forum_id, move.target_id):
            return same
        raise MoveRefused(f"Forum {move.forum_id} is on the move already") from error
    return move


def next_token(forum_id: int) -> int:
    """Higher than any token of this forum, over all its moves: shards compare tokens, and know forums, not moves."""
    ForumPlacement.objects.select_for_update(no_key=True).get(pk=forum_id)
    highest = Move.objects.filter(forum_id=forum_id).aggregate(highest=Max("token"))["highest"]
    return (highest or 0) + 1


def take_over(
    *, move_id: int, now: datetime, expected_token: int | None = None, is_limited: bool = False
) -> Move | None:
    """Become the mover of a move: a higher token, and a lease. None if it is over.

    With ``expected_token`` (a task's) also None if somebody took it since, or has it on lease still; if it
    ``is_limited`` also while as many others run as may.
    """
    with transaction.atomic(using="default"):
        if is_limited and not has_place(move_id, now=now):
            return None
        token = next_token(get_move(move_id).forum_id)
        move = Move.objects.select_for_update(no_key=True).get(pk=move_id)
        is_leased = move.leased_until is not None and move.leased_until > now
        if move.state in FINAL or (expected_token is not None and (move.token != expected_token or is_leased)):
            return None
        move.token = token
        move.leased_until = now + timedelta(seconds=settings.MOVE_LEASE_S)
        move.waits_for = ""
        move.save(update_fields=["token", "leased_until", "waits_for"])
    return move


def advance(move: Move, *path: MoveState, now: datetime, **facts: Any) -> Move:
    """Go along ``path``, one event each, with ``facts`` set on the row; ``TokenRefused`` if the move is not ours."""
    with transaction.atomic(using="default"):
        _walk(move, path, now=now, facts=facts)
    return move


def _walk(move: Move, path: Sequence[MoveState], *, now: datetime, facts: dict[str, Any]) -> None:
    leased_until = now + timedelta(seconds=settings.MOVE_LEASE_S)
    for following in path:
        if not may_follow(MoveState(move.state), following):
            raise AssertionError(f"the protocol has no way from {move.state} to {following}")
        left = move.state
        changes = {"leased_until": leased_until, **known_facts(move), **facts, "state": following}
        if following in FINAL:
            changes |= {"finished_at": now, "leased_until": None}
        _compare_and_set(move, **changes)
        if following in PAUSABLE:
            _see_what_is_asked(move, left=left)
        record_status(type=f"move.{following}", data=move_shape(move), now=now, move_id=move.pk)


def _see_what_is_asked(move: Move, *, left: str) -> None:
    """A pause that was asked for in a state that was about to be left holds in the next one."""
    Move.objects.filter(pk=move.pk, pause_at=left).update(pause_at=move.state)
    move.refresh_from_db(fields=["pause_at", "is_cancelled"])


def _compare_and_set(move: Move, **changes: Any) -> None:
    mine = Move.objects.filter(pk=move.pk, state=move.state, token=move.token)
    if changes.get("state") == MoveState.FENCED:  # behind it nobody can be kept to a wish any more
        found = mine.exclude(pause_at=move.state).exclude(is_cancelled=True).update(**changes)
        if not found and mine.exists():
            raise AskedToWait
    else:
        found = mine.update(**changes)
    if not found:
        raise TokenRefused(f"Move {move.pk} is no longer {move.state} in the hands of mover {move.token}")
    for name, value in changes.items():
        setattr(move, name, value)


def is_ours(move: Move) -> bool:
    """Whether nobody took the move over since."""
    return Move.objects.filter(pk=move.pk, token=move.token).exclude(state__in=sorted(FINAL)).exists()


def known_facts(move: Move) -> dict[str, Any]:
    return {name: getattr(move, name) for name in FACTS}


def tell_progress(move: Move, *, now: datetime) -> None:
    """Write down how far a move has come, tell those who watch, and keep the lease; see what was asked of it since.

    ``TokenRefused`` if the move is no longer ours.
    """
    with transaction.atomic(using="default"):
        _compare_and_set(move, leased_until=now + timedelta(seconds=settings.MOVE_LEASE_S), **known_facts(move))
        move.refresh_from_db(fields=["pause_at", "is_cancelled"])
        record_status(type="move.progress", data=move_shape(move), now=now, move_id=move.pk)


def release(move: Move, *, not_before: datetime | None = None) -> None:
    """Give the lease back, so that the next mover may go on at once, or at a time."""
    changes: dict[str, Any] = {"leased_until": None, **known_facts(move)}
    if not_before is not None:
        changes["not_before"] = not_before
    Move.objects.filter(pk=move.pk, token=move.token).update(**changes)


def postpone(move: Move, *, reason: str, now: datetime) -> None:
    """Give the lease back after a failure that undid nothing: the same step again, after a pause."""
    pause = timedelta(seconds=BACKOFF_S * 10)
    mine = Move.objects.filter(pk=move.pk, token=move.token)
    mine.update(leased_until=None, error=reason[:2000], not_before=now + pause)


def is_last_attempt(move: Move) -> bool:
    """Whether the move is given up if this attempt fails."""
    return move.attempts + 1 >= MAX_ATTEMPTS or move.is_cancelled


def attempt_failed(move: Move, *, reason: str, now: datetime, retreat: MoveState = MoveState.PLANNED) -> Move:
    """Count an attempt that was undone: another one later, from ``retreat`` on, or ABORTED after ``MAX_ATTEMPTS``."""
    attempts = move.attempts + 1
    facts: dict[str, Any] = {"attempts": attempts, "error": reason[:2000]}
    if is_last_attempt(move):
        return give_up(move, reason=reason, now=now, attempts=attempts)
    pause_s = min(BACKOFF_S * 2**attempts, LONGEST_BACKOFF_S)
    facts |= {"not_before": now + timedelta(seconds=pause_s), "leased_until": None}
    if move.state != retreat:
        return advance(move, retreat, now=now, **facts)
    _compare_and_set(move, **facts)
    return move


def give_up(move: Move, *, reason: str, now: datetime, **facts: Any) -> Move:
    """ABORTED, for ever; what was copied is taken off the target."""
    facts |= {"error": reason[:2000], "has_leftovers": _has_leftovers(move)}
    return advance(move, MoveState.ABORTED, now=now, **facts)


def _has_leftovers(move: Move) -> bool:
    """Whether the target has rows of the forum that nobody needs once the move is given up."""
    return move.state not in UNCOPIED or move.rolls_back_id is not None


def arrive(move: Move, *path: MoveState, now: datetime, **facts: Any) -> Move:
    """The target owns the forum: record it in the directory, together with the states that were reached."""
    epoch = move.epoch + 1
    with transaction.atomic(using="default"):
        placement = ForumPlacement.objects.filter(pk=move.forum_id, epoch__lt=epoch)
        placement.update(shard_id=move.target_id, epoch=epoch)
        _walk(move, path, now=now, facts=facts)
    directory.correct(move.forum_id, Location(move.target_id, epoch))
    tell_directories(move.forum_id, move.target_id, epoch)
    wake_relay(move.target_id)
    return move
