"""The Celery tasks: each is one call, safe to be delivered twice or after its time."""

from django.utils import timezone

from forum_backend.queries.moves import due_moves, moves_with_leftovers
from forum_backend.services import loads, move_queue, plans, retention, shards
from workers.app import celery_app
from workers.rebalance.leftovers import purge_leftovers
from workers.rebalance.runner import drive


@celery_app.task  # type: ignore[untyped-decorator]
def pick_up_moves() -> None:
    """Hand every move that nobody has at hand to a mover."""
    for move_id, token in due_moves(now=timezone.now()):
        advance_move.apply_async((move_id, token), expires=10)
    for move_id in moves_with_leftovers():
        clear_leftovers.apply_async((move_id,), expires=5)
    move_queue.tell_waiting(now=timezone.now())


@celery_app.task  # type: ignore[untyped-decorator]
def advance_move(move_id: int, token: int) -> None:
    """Bring one move as far as fits into a few seconds, and hand it on; nothing if somebody else took it."""
    move = drive(move_id=move_id, token=token, is_limited=True)
    if move is not None and (move.pk, move.token) in due_moves(now=timezone.now(), move_id=move_id):
        advance_move.apply_async((move.pk, move.token), expires=10)


@celery_app.task  # type: ignore[untyped-decorator]
def clear_leftovers(move_id: int) -> None:
    """Take the rows of a move that was given up off its target, some at a time."""
    purge_leftovers(move_id=move_id)


@celery_app.task  # type: ignore[untyped-decorator]
def measure_shards() -> None:
    """Refresh the load figures of the fleet."""
    shards.measure_shards(now=timezone.now())


@celery_app.task  # type: ignore[untyped-decorator]
def forget_old() -> None:
    """Delete what has served its purpose."""
    retention.forget_old(now=timezone.now())


@celery_app.task  # type: ignore[untyped-decorator]
def measure_loads() -> None:
    """Refresh the loads of the next forums of each shard."""
    loads.measure_loads(now=timezone.now())


@celery_app.task  # type: ignore[untyped-decorator]
def drain_shards() -> None:
    """Ask for the next moves off the shards that are drained."""
    plans.drain_on(now=timezone.now())
