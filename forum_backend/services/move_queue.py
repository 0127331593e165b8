"""Moves that wait for a place: the limits held when one is taken, and the waiting told to those who watch."""

from datetime import datetime

from django.db import connections, transaction

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.moves import PAUSABLE
from forum_backend.queries.admission import waiting_moves
from forum_backend.queries.moves import move_shape
from forum_backend.services.status_events import record_status

TOLD_AT_ONCE = 100
_LOCK = "SELECT pg_advisory_xact_lock(1178946635)"  # of the control database: one place is given at a time


def has_place(move_id: int, *, now: datetime) -> bool:
    """Whether a move may go on now. Until the running transaction ends nobody else is given a place."""
    with connections["default"].cursor() as cursor:
        cursor.execute(_LOCK)
    return move_id not in waiting_moves(now=now)


def tell_waiting(*, now: datetime) -> int:
    """Write down what moves wait for, where it has changed; how many were told."""
    waits = waiting_moves(now=now)
    told = 0
    stale = Move.objects.exclude(waits_for="").exclude(pk__in=list(waits))
    for move in [*stale[:TOLD_AT_ONCE], *Move.objects.filter(pk__in=list(waits)[:TOLD_AT_ONCE])]:
        told += _tell(move, waits.get(move.pk, ""), now=now)
    return told


def _tell(move: Move, waits_for: str, *, now: datetime) -> bool:
    if move.waits_for == waits_for:
        return False
    with transaction.atomic(using="default"):
        fresh = Move.objects.select_for_update(no_key=True).get(pk=move.pk)
        fresh.waits_for = waits_for if fresh.state in PAUSABLE else ""
        fresh.save(update_fields=["waits_for"])
        record_status(type="move.changed", data=move_shape(fresh), now=now, move_id=fresh.pk)
    return True
