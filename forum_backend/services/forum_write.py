"""The one way to write rows of a forum: enter on the right shard, run, commit; wait at a fence, follow a move."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections, transaction

from forum_backend.domain.errors import ForumMoving, NotOwner, Ownership, ShardUnavailable, TwoForums
from forum_backend.domain.moves import OwnershipMode
from forum_backend.services import gates
from forum_backend.services.move_recovery import recover_forum
from forum_backend.services.waking import wake_relay
from routers.directory import Location, directory
from routers.health import drop_if_hung_up, health
from routers.redirect import MAX_HOPS, follow, moved_away
from routers.refusals import REPEATABLE, is_connection_lost, refusal_of, sqlstate_of

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_STATE = "55P03"


@dataclass(frozen=True, slots=True)
class OpenForum:
    """A forum that the running transaction has entered: its number, its shard's alias, the epoch."""

    forum_id: int
    shard: str
    epoch: int


class Retries:
    """How often a write of this process was sent on to another shard or run again; for measuring only."""

    total = 0


retries = Retries()
_open: ContextVar[OpenForum | None] = ContextVar("open_forum", default=None)


def forum_write[T](forum: int, write: Callable[[OpenForum], T]) -> T:
    """Run ``write`` in a transaction that has entered the forum, on whichever shard owns it, and return its result.

    ``write`` may run more than once and must have no effect outside its transaction. Raises ``NotFound`` for an
    unknown forum, ``ForumMoving`` when a fence stands longer than ``MOVE_WAIT_LIMIT_MS`` (``GateClosed`` at once where
    this call must not wait), ``ShardUnavailable`` when the server does not answer (a commit whose answer was lost may
    have happened: that is what idempotency keys are for), ``TwoForums`` inside a transaction of another forum.
    """
    outer = _open.get()
    if outer is not None:
        if outer.forum_id != forum:
            raise TwoForums(f"forum {outer.forum_id} is open; forum {forum} needs a transaction of its own")
        return write(outer)
    return _on_owner(forum, lambda place: _attempt(place, lambda entered: _transaction(place, write, entered)))


def forum_statement(
    forum: int, sql: str, parameters: Sequence[Any], *, may_repeat: bool, refusal: NotOwner | None = None
) -> tuple[Any, ...]:
    """Run a write that is one statement, which enters the forum by itself, and return its row: one round trip.

    ``sql`` takes the forum's number and the epoch as its first two parameters. Waits, follows and raises as
    ``forum_write`` does. ``may_repeat``: the statement has no second effect, so a lost answer is asked for again.
    ``refusal``: what the shard has said to it a moment ago.
    """
    if _open.get() is not None:
        raise TwoForums("a statement that enters by itself is a transaction of its own")

    def run(place: OpenForum, started: threading.Event) -> tuple[Any, ...]:
        connection = connections[place.shard]
        connection.ensure_connection()
        if not may_repeat:
            started.set()
        # Past Django's cursor, which writes parameters into the text: the server plans this statement once.
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
            cursor.execute(
                sql, [place.forum_id, place.epoch, *parameters], prepare=settings.PREPARED_STATEMENTS or None
            )
            row: tuple[Any, ...] = cursor.fetchone()  # type: ignore[assignment]
        health.answered(place.shard)
        return row

    return _on_owner(forum, lambda place: _attempt(place, lambda started: run(place, started)), refusal=refusal)


def _on_owner[T](forum: int, attempt: Callable[[OpenForum], T], *, refusal: NotOwner | None = None) -> T:
    """The attempt on the shard that owns the forum, found by following refusals; then its relay is woken."""
    deadline = gates.deadline()
    location = directory.locate(forum)
    if refusal is not None and deadline == gates.NOT_HERE:  # who has waited since asks anew
        retries.total += 1
        location = _next_place(refusal, location, deadline)
    for _hop in range(MAX_HOPS):
        try:
            result = attempt(OpenForum(forum, location.shard, location.epoch))
        except NotOwner as refusal:
            retries.total += 1
            location = _next_place(refusal, location, deadline)
        except ShardUnavailable as error:
            elsewhere = None if error.may_have_happened else moved_away(forum, location)
            if elsewhere is None:
                raise
            location = elsewhere
        else:
            wake_relay(location.shard)
            return result
    raise ForumMoving(f"forum {forum} was not found at the end of {MAX_HOPS} redirects")


def _attempt[T](forum: OpenForum, run: Callable[[threading.Event], T]) -> T:
    """One transaction; again if the server asked for that, or if a kept connection was found broken at its start.

    ``run`` sets the event it is given once a lost connection would leave the outcome unknown.
    """
    with health.place_at(forum.shard):  # once: a broken kept connection must not use up the attempt
        drop_if_hung_up(forum.shard)  # as after a restart: what may not be repeated is not sent in vain
        for is_last in (False, False, True):
            was_kept = connections[forum.shard].connection is not None
            begun = threading.Event()
            try:
                return run(begun)
            except (DatabaseError, InterfaceError) as error:
                if is_connection_lost(error):
                    connections[forum.shard].close()
                    if begun.is_set() or is_last or not was_kept:
                        health.failed(forum.shard)
                        raise ShardUnavailable(forum.shard, may_have_happened=begun.is_set()) from error
                else:
                    health.answered(forum.shard)
                    _raise_unless_repeatable(error, forum, is_last=is_last)
                retries.total += 1
    raise AssertionError("unreachable")


def _raise_unless_repeatable(error: Exception, forum: OpenForum, *, is_last: bool) -> None:
    refusal = refusal_of(error, forum=forum.forum_id, shard=forum.shard)
    if refusal is not None:
        raise refusal from error
    if sqlstate_of(error) not in REPEATABLE or is_last:
        raise error


def _transaction[T](forum: OpenForum, write: Callable[[OpenForum], T], entered: threading.Event) -> T:
    with transaction.atomic(using=forum.shard):
        with connections[forum.shard].cursor() as cursor:
            cursor.execute("SELECT forum_enter(%s, %s)", [forum.forum_id, forum.epoch])
        entered.set()
        health.answered(forum.shard)
        token = _open.set(forum)
        try:
            return write(forum)
        finally:
            _open.reset(token)


def _next_place(refusal: NotOwner, location: Location, deadline: float) -> Location:
    if refusal.ownership.mode != OwnershipMode.FENCED:
        return follow(refusal)
    found = _wait_at_gate(refusal, deadline)
    if found.ownership.mode == OwnershipMode.DEPARTED:
        return follow(found)
    return directory.known(refusal.forum) or location


def _wait_at_gate(refusal: NotOwner, deadline: float) -> NotOwner:
    """Wait on the lock that the mover holds while the fence stands, and return what the shard says of the forum then.

    A forum that is fenced still is moved by nobody any more, and is recovered here.
    """
    if deadline == gates.NOT_HERE:
        raise gates.GateClosed
    remaining_ms = int((deadline - time.monotonic()) * 1000)
    found = _at_opened_gate(refusal, remaining_ms) if remaining_ms > 0 else None
    if found is None:
        raise ForumMoving
    return found


def _at_opened_gate(refusal: NotOwner, limit_ms: int) -> NotOwner | None:
    """What the shard says once the gate's lock was had; None if it was not in time."""
    try:
        with connections[refusal.shard].cursor() as cursor:
            cursor.execute(
                "SELECT mode, epoch, went_to, went_epoch FROM forum_wait_at_gate(%s, %s)", [refusal.forum, limit_ms]
            )
            row = cursor.fetchone()
    except (DatabaseError, InterfaceError) as error:
        if sqlstate_of(error) == LOCK_TIMEOUT_STATE:
            return None
        if is_connection_lost(error):
            connections[refusal.shard].close()
            raise ShardUnavailable(refusal.shard) from error
        raise
    found = NotOwner(forum=refusal.forum, shard=refusal.shard, ownership=Ownership(*row) if row else refusal.ownership)
    if row is not None and found.ownership.mode == OwnershipMode.FENCED:
        recover_forum(refusal.forum, fenced_on=refusal.shard)
    return found
