"""The one way to write rows of a forum: enter on the right shard, run, commit; wait at a fence, follow a move."""

import logging
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections, transaction

from forum_backend.domain.errors import ForumMoving, NotOwner, ShardUnavailable, TwoForums
from forum_backend.domain.moves import OwnershipMode
from forum_backend.services.waking import wake_relay
from routers.directory import Location, directory
from routers.health import health
from routers.redirect import MAX_HOPS, follow
from routers.refusals import REPEATABLE, is_connection_lost, refusal_of, sqlstate_of

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_STATE = "55P03"


@dataclass(frozen=True, slots=True)
class OpenForum:
    """A forum that the running transaction has entered: its number, its shard's alias, the epoch."""

    forum_id: int
    shard: str
    epoch: int


_open: ContextVar[OpenForum | None] = ContextVar("open_forum", default=None)
# Writers waiting at fences hold their thread; the others stay free for all other forums.
_waiting_places = threading.BoundedSemaphore(max(1, settings.SERVICE_THREADS // 2))


def forum_write[T](forum: int, write: Callable[[OpenForum], T]) -> T:
    """Run ``write`` in a transaction that has entered the forum, on whichever shard owns it, and return its result.

    ``write`` may run more than once and must have no effect outside its transaction. Raises ``NotFound`` for an
    unknown forum, ``ForumMoving`` when a fence stands longer than ``MOVE_WAIT_LIMIT_MS``, ``ShardUnavailable`` when the
    server does not answer (a commit whose answer was lost may have happened: that is what idempotency keys are for),
    ``TwoForums`` inside a transaction of another forum.
    """
    outer = _open.get()
    if outer is not None:
        if outer.forum_id != forum:
            raise TwoForums(f"forum {outer.forum_id} is open; forum {forum} needs a transaction of its own")
        return write(outer)
    deadline = time.monotonic() + settings.MOVE_WAIT_LIMIT_MS / 1000
    location = directory.locate(forum)
    for _hop in range(MAX_HOPS):
        try:
            result = _attempt(OpenForum(forum, location.shard, location.epoch), write)
        except NotOwner as refusal:
            location = _next_place(refusal, location, deadline)
        else:
            wake_relay(location.shard)
            return result
    raise ForumMoving(f"forum {forum} was not found at the end of {MAX_HOPS} redirects")


def _attempt[T](forum: OpenForum, write: Callable[[OpenForum], T]) -> T:
    """One transaction; again if the server asked for that, or if a kept connection was found broken at its start."""
    for is_last in (False, False, True):
        entered = threading.Event()
        try:
            return _transaction(forum, write, entered)
        except (DatabaseError, InterfaceError) as error:
            refusal = refusal_of(error, forum=forum.forum_id, shard=forum.shard)
            if refusal is not None:
                raise refusal from error
            if is_connection_lost(error):
                connections[forum.shard].close()
                if entered.is_set() or is_last:
                    health.failed(forum.shard)
                    raise ShardUnavailable(forum.shard) from error
            elif sqlstate_of(error) not in REPEATABLE or is_last:
                raise
    raise AssertionError("unreachable")


def _transaction[T](forum: OpenForum, write: Callable[[OpenForum], T], entered: threading.Event) -> T:
    health.refuse_if_down(forum.shard)
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
    _wait_at_gate(refusal, deadline)
    return directory.known(refusal.forum) or location


def _wait_at_gate(refusal: NotOwner, deadline: float) -> None:
    """Wait on the lock that the mover holds while the fence stands; recover a forum that nobody is moving any more."""
    if not _waiting_places.acquire(blocking=False):
        raise ForumMoving
    try:
        remaining_ms = int((deadline - time.monotonic()) * 1000)
        if remaining_ms <= 0 or not _gate_opened(refusal, remaining_ms):
            raise ForumMoving
    finally:
        _waiting_places.release()


def _gate_opened(refusal: NotOwner, limit_ms: int) -> bool:
    """Whether the gate's lock was had in time. If the forum is fenced still, its mover is dead: recovery opens it."""
    try:
        with transaction.atomic(using=refusal.shard), connections[refusal.shard].cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{limit_ms}ms"])
            cursor.execute("SELECT pg_advisory_xact_lock_shared(forum_gate_key(%s))", [refusal.forum])
            cursor.execute("SELECT mode FROM ownership WHERE forum_id = %s", [refusal.forum])
            row = cursor.fetchone()
    except (DatabaseError, InterfaceError) as error:
        if sqlstate_of(error) == LOCK_TIMEOUT_STATE:
            return False
        if is_connection_lost(error):
            raise ShardUnavailable(refusal.shard) from error
        raise
    if row is not None and row[0] == OwnershipMode.FENCED:
        from forum_backend.services.move_recovery import recover_forum

        recover_forum(refusal.forum)
    return True


