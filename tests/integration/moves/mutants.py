"""Rules of the protocol taken away one by one, in the real code: by editing a shard's function, or a call."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from django.db import connections

from forum_backend.services import move_recovery
from forum_backend.services.ownership import connected
from workers.rebalance import delta, fence

SHARDS = ("shard_00", "shard_01")


@contextmanager
def edited(function: str, *changes: tuple[str, str]) -> Iterator[None]:
    """A function of both shards with some of its text replaced, and as it was again afterwards."""
    with ExitStack() as stack:
        for shard in SHARDS:
            stack.enter_context(_edited_on(shard, function, changes))
        yield


@contextmanager
def _edited_on(shard: str, function: str, changes: tuple[tuple[str, str], ...]) -> Iterator[None]:
    with connections[shard].cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef(%s::regproc)", [function])
        (original,) = cursor.fetchone()
        text = original
        for old, new in changes:
            assert old in text, f"{function} has no {old!r} any more: the mutant changes nothing"
            text = text.replace(old, new)
        cursor.execute(text, None)
    try:
        yield
    finally:
        with connections[shard].cursor() as cursor:
            cursor.execute(original, None)


def no_guard() -> Any:
    """Rows are taken from transactions that did not enter their forum."""
    return edited("forum_check_entered", ("'')) = 0 THEN", "'')) = 0 AND false THEN"))


LOCK = "PERFORM pg_advisory_xact_lock(forum_lock_key(p_forum));"


def no_lock_at_the_fence() -> Any:
    """The fence goes up without waiting for writers that are in."""
    return edited("forum_set_ownership", (LOCK, f"IF p_mode <> 'fenced' THEN {LOCK} END IF;"))


def no_lock_when_arming() -> Any:
    """Capture begins without waiting for writers that entered before it."""
    return edited("forum_set_ownership", (LOCK, f"IF NOT (p_mode = 'owner' AND p_capture) THEN {LOCK} END IF;"))


def no_token() -> Any:
    """Shards take orders from movers that were overtaken."""
    stack = ExitStack()
    stack.enter_context(edited("forum_set_ownership", ("OR coalesce(own.token, 0) > p_token", "")))
    stack.enter_context(edited("forum_enter_as_mover", ("OR own.token > p_token", "")))
    return stack


@contextmanager
def cursor_on_the_log() -> Iterator[None]:
    """The log is read from the last id on, as if ids became visible in their order."""
    last = 0
    execute = delta.prepared

    def reading_on(connection: Any, query: bytes, values: Any) -> Any:
        if query is not delta._LOG_AND_ROWS_SQL:
            return execute(connection, query, values)
        nonlocal last
        condition = f"WHERE forum_id = %(forum_id)s AND id > {last} ORDER BY".encode()
        rows = execute(
            connection, query.replace(b"WHERE forum_id = %(forum_id)s ORDER BY", condition), values
        ).fetchall()
        last = max([last, *(rows[0][1] or [])])
        return rows

    with patch.object(delta, "prepared", reading_on):
        yield


def source_reopened_first() -> Any:
    """Who settles a move opens the source before nobody can activate the target any more."""
    rule_out = move_recovery._rule_out_activation

    def reopen_first(move: Any) -> bool:
        with connected(move.source_id, move_recovery.LIMITS) as source:
            move_recovery.reopen(source, move, capture=True)
        return rule_out(move)

    return patch.object(move_recovery, "_rule_out_activation", reopen_first)


def no_last_catch_up() -> Any:
    """What changed between the last batch and the fence is left behind."""
    return patch.object(fence, "told_delta", lambda _answer: delta.Delta())


def no_read_back() -> Any:
    """What the target made of the rows is not looked at."""
    return patch.object(delta, "_refuse_difference", lambda _sent, _read_back: None)


@contextmanager
def rows_get_damaged(times: int = 1) -> Iterator[None]:
    """No mutant but a fault: a body is not what was sent, that many times."""
    left = times
    execute = delta.prepared

    def damage(connection: Any, query: bytes, values: Any) -> Any:
        nonlocal left
        if query == delta._INSERT_SQL["post"] and left:
            left -= 1
            values = {"rows": values["rows"].replace('"body":"', '"body":"damaged ')}
        return execute(connection, query, values)

    with patch.object(delta, "prepared", damage):
        yield
