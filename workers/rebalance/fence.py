"""FENCED: nobody writes the forum. Its gate is closed first: writers who meet the fence wait there, without polling."""

import time
from contextlib import suppress

import psycopg

from forum_backend.domain.moves import MoveState, OwnershipMode
from forum_backend.services.ownership import refusals, rehearse_change
from workers.rebalance import delta, sequence
from workers.rebalance.activate import ask_counts
from workers.rebalance.calm import await_calm
from workers.rebalance.catch_up import bring_over
from workers.rebalance.delta import ask_delta, told_delta
from workers.rebalance.mover import LastChanges, Mover
from workers.rebalance.patience import patiently
from workers.rebalance.ready import make_ready
from workers.rebalance.sequence import ask_last_value, lift_before_fence
from workers.rebalance.step import Recorded, Step

# What changed while a batch was brought over is less each time, until it is what a few writers do in an instant.
LAST_ROUNDS, FEW = 4, 30
# The gate is not held for much longer than a fence may stand.
FENCE_TRIES = 4


def is_time(mover: Mover) -> bool:
    """The servers are calm, and little is left to bring over."""
    return await_calm(mover) and make_ready(mover)


def fence(mover: Mover) -> bool:
    """Warm up, close the gate, which keeps the relay out too, then fence under the exclusive lock."""
    warm_up(mover)
    await_calm(mover)  # it took a while to get here
    mover.unthrottled()
    bring_over_the_last(mover)
    patiently(lambda: close_gate(mover))
    bring_over(mover.forward)  # the relay's last round with it
    mover.reach("fence.gate_closed")
    patiently(lambda: raise_fence(mover), tries=FENCE_TRIES)
    return True


def warm_up(mover: Mover) -> None:
    """Connections known to answer, tables looked up, statements planned, ids lifted: before anybody has to wait."""
    with suppress(psycopg.errors.LockNotAvailable):  # another mover rehearses there; without it this takes longer
        rehearse_change(mover.source)
    mover.claim()
    mover.hurry()
    lift_before_fence(mover.source, mover.target)
    delta.warm_up(mover.forward)
    list(ask_counts(mover))


def bring_over_the_last(mover: Mover) -> None:
    """Until no more is left than a few writers change in an instant, or it does not become less."""
    for _round in range(LAST_ROUNDS):
        if bring_over(mover.forward) <= FEW:
            return


def close_gate(mover: Mover) -> None:
    """Hold the gate's lock in a transaction that stays open until the fence is down again."""
    mover.gate.begin()
    try:
        mover.gate.execute("SELECT pg_advisory_xact_lock(forum_gate_key(%s))", (mover.move.forum_id,))
    except BaseException:
        mover.gate.rollback()
        raise


def raise_fence(mover: Mover) -> None:
    """From the moment the lock is asked for, writers queue behind it: the window is counted from there.

    What changed last is read in the same round trip, behind the lock: the server does it before a writer wakes up.
    """
    mover.fence_began_at = time.monotonic()
    epoch, source = mover.move.epoch, mover.source
    try:
        with refusals(), source.pipeline():
            source.begin()
            mover.change(
                source, modes=(OwnershipMode.OWNER,), from_epoch=epoch, mode=OwnershipMode.FENCED, epoch=epoch,
                capture=True, went_to=mover.move.target_id,
            )  # fmt: skip
            number, changed = ask_last_value(source), ask_delta(mover.forward)
            source.commit()
    except psycopg.errors.LockNotAvailable:
        source.rollback()  # with it psycopg forgets what it has prepared
        list(ask_counts(mover))
        bring_over(mover.forward)
        raise
    mover.last = LastChanges(told_delta(changed), sequence.told(number))


# Recorded before it is done: who finds a fence finds a move that says so.
# A move that was held when it was ready has fallen behind since: it gets ready again.
STEP = Step("fence", MoveState.READY, MoveState.FENCED, fence, Recorded.BEFORE, rehearse=is_time)
