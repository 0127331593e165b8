"""Which moves a mover may take now: those under or past their fence always, the others as the limits allow."""

from datetime import datetime

from django.conf import settings
from django.db.models import F, Q

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.admission import Candidate, waiting
from forum_backend.domain.moves import PAUSABLE, MoveState

# Of the moves that have not begun only the first ones have a chance.
LOOKED_AT = 1_000


def waiting_moves(*, now: datetime) -> dict[int, str]:
    """Moves that could go on but for the limits, by number, and what they wait for.

    Whoever is paused, cancelled or rests after a failure neither takes a place nor waits for one.
    """
    return waiting(_candidates(now), per_shard=settings.MOVES_PER_SHARD, in_all=settings.MOVES_AT_ONCE)


def _candidates(now: datetime) -> list[Candidate]:
    is_leased = Q(leased_until__gt=now)
    could_go_on = Q(not_before__lte=now) & ~Q(pause_at=F("state"))
    moves = Move.objects.filter(is_leased | could_go_on, state__in=sorted(PAUSABLE), is_cancelled=False)
    fields = ("pk", "source_id", "target_id", "state", "leased_until", "rolls_back_id")
    begun = moves.exclude(state=MoveState.PLANNED).order_by("pk").values_list(*fields)[:LOOKED_AT]
    planned = moves.filter(state=MoveState.PLANNED).order_by(F("rolls_back_id").asc(nulls_last=True), "pk")
    return [
        Candidate(
            move=move,
            source=source,
            target=target,
            is_leased=leased_until is not None and leased_until > now,
            has_begun=state != MoveState.PLANNED,
            is_rollback=rolls_back is not None,
        )
        for move, source, target, state, leased_until, rolls_back in [*begun, *planned.values_list(*fields)[:LOOKED_AT]]
    ]
