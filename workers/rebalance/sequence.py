"""Lifting a shard's id sequence, never lowering it, while other forums take ids from it.

``setval`` alone could lower it: between reading and setting, others take numbers. So the big leap is made before the
fence under a lock that holds up ``nextval`` for an instant; the small rest under the fence by ``nextval`` itself.
"""

import psycopg

from workers.rebalance.patience import patiently

# Numbers skipped one by one: some 30 ms under the fence.
BY_ONE = 100_000


class SequenceTooFar(Exception):
    """The source gave out too many ids since the target's sequence was lifted; the attempt is undone."""


LAST_VALUE_SQL = "SELECT last_value - (NOT is_called)::int FROM routed_id_seq"


def last_value(connection: psycopg.Connection) -> int:
    """The last number that a shard gave out. A sequence that was never called shows the one it will give first."""
    return told(ask_last_value(connection))


def ask_last_value(connection: psycopg.Connection) -> psycopg.Cursor:
    """``last_value`` in two, for a pipeline: ask in it, be told after it."""
    return connection.execute(LAST_VALUE_SQL)


def told(answer: psycopg.Cursor) -> int:
    """What ``ask_last_value`` or ``lift_by_one`` asked for."""
    row = answer.fetchone()
    return int(row[0]) if row else 0


def lift_before_fence(source: psycopg.Connection, target: psycopg.Connection) -> None:
    """Bring the target up to the source: no forum ever had a number above its shard's sequence.

    A leap holds up everybody who takes an id there; so the last of the way is not leapt but taken number by number.
    """
    reached = last_value(source)
    if reached - last_value(target) > BY_ONE // 10:
        patiently(lambda: _leap(target, reached))
    lift_by_one(target, above=reached)


def _leap(target: psycopg.Connection, reached: int) -> None:
    with target.transaction():
        # Changes nothing, but takes the lock that nextval waits for until the end of this transaction.
        target.execute("ALTER SEQUENCE routed_id_seq OWNED BY NONE")
        target.execute("SELECT setval('routed_id_seq', greatest(last_value, %s)) FROM routed_id_seq", (reached,))


def lift_by_one(target: psycopg.Connection, *, above: int) -> psycopg.Cursor:
    """Take numbers until the target's sequence has passed ``above``, or as many as may be; asks where it is then.

    Needs no lock, cannot lower anything, fits into a pipeline.
    """
    target.execute(
        "SELECT count(nextval('routed_id_seq')) FROM generate_series(1, least(%s, greatest(0, %s - (SELECT "
        "last_value - (NOT is_called)::int FROM routed_id_seq))))",
        (BY_ONE, above),
    )
    return ask_last_value(target)


def refuse_too_far(reached: int, *, above: int) -> None:
    """``SequenceTooFar`` if the target's sequence was not lifted far enough."""
    if reached < above:
        raise SequenceTooFar(f"the target's sequence is {above - reached} numbers behind")
