"""What a shard is for a forum, changed by compare-and-set: the calls that movers and recovery have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from forum_backend.domain.errors import Ownership, TokenRefused
from forum_backend.domain.moves import OwnershipMode
from routers.limited import LimitedConnection
from routers.refusals import TOKEN_REFUSED, ownership_of
from routers.registry import registry

# Modes that a target may have before a move: whatever is there of an earlier one is overwritten.
NOT_SERVING = ("absent", OwnershipMode.INCOMING, OwnershipMode.ABORTED, OwnershipMode.DEPARTED)
NO_FORUM = 0  # numbers begin with 1
CONNECT_TIMEOUT_S = 2  # libpq knows no shorter one
LOCK_TIMEOUT_STATE = "55P03"
# Rows are compared as text on two servers, so both must write it alike.
_ONE_TEXT = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
}
# Statements that movers prepare find their rows by key, whatever the values.
_PLANNING = {"plan_cache_mode": "force_generic_plan"}
_SET_SQL = (
    "SELECT set_config('synchronous_commit', coalesce(%s, current_setting('synchronous_commit')), true), "
    "forum_set_ownership(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)


class OwnershipRefused(TokenRefused):
    """A shard refused a mover; ``ownership`` is what it says of the forum instead."""

    def __init__(self, detail: str, ownership: Ownership) -> None:
        super().__init__(detail)
        self.ownership = ownership


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a connection may wait for a lock, work on a statement, and sit in a transaction."""

    lock_ms: int = 1_000
    statement_ms: int = 2_000
    idle_ms: int = 2_000

    def local(self) -> dict[str, str]:
        """What a mover's transactions are told."""
        return {
            **_ONE_TEXT,
            **_PLANNING,
            "lock_timeout": f"{self.lock_ms}ms",
            "statement_timeout": f"{self.statement_ms}ms",
            "idle_in_transaction_session_timeout": f"{self.idle_ms}ms",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A forum's ownership row on one shard: the modes it may have now, and what it becomes.

    ``from_epoch`` None: any epoch up to the new one, or no row at all. ``is_announced`` None: as it is.
    """

    forum: int
    token: int
    modes: tuple[str, ...]
    from_epoch: int | None
    mode: OwnershipMode
    epoch: int
    capture: bool = False
    went_to: str | None = None
    went_epoch: int | None = None
    is_announced: bool | None = None


@contextmanager
def connected(shard: str, limits: Limits) -> Iterator[LimitedConnection]:
    """A connection of one's own to a shard, with time limits on everything, closed at the end."""
    connection = connect(shard, limits)
    try:
        yield connection
    finally:
        connection.close()


def connect(shard: str, limits: Limits) -> LimitedConnection:
    """As ``connected``, for a connection that its caller closes. It commits each statement by itself."""
    return LimitedConnection.open(
        registry.ensure(shard),
        local=limits.local(),
        application_name="forum_mover",
        connect_timeout=CONNECT_TIMEOUT_S,
    )


def set_ownership(connection: psycopg.Connection, change: Change, *, is_durable: bool = True) -> None:
    """Apply a change under the forum's exclusive lock; ``OwnershipRefused`` by another row or a newer token.

    One that is not durable may be gone after a crash of the server, as if it had not been asked for.
    """
    arguments = (
        None if is_durable else "off",
        change.forum, list(change.modes), change.from_epoch, change.token, change.mode, change.epoch,
        change.capture, change.went_to, change.went_epoch, change.is_announced,
    )  # fmt: skip
    with refusals():
        connection.execute(_SET_SQL, arguments)


def rehearse_change(connection: LimitedConnection) -> None:
    """Have the server's session compile and plan what ``set_ownership`` does, by a change that is undone.

    It takes some milliseconds, which nobody shall wait for under a lock. What was prepared is forgotten by the undoing.
    """
    connection.begin()
    try:
        nobodys = Change(
            forum=NO_FORUM, token=0, modes=("absent",), from_epoch=None, mode=OwnershipMode.ABORTED, epoch=0
        )
        set_ownership(connection, nobodys)
    finally:
        connection.rollback()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A forum's ownership row that a mover has taken over as it was."""

    mode: str
    epoch: int
    capture: bool


def raise_token(connection: psycopg.Connection, *, forum: int, token: int) -> Claimed:
    """Take a forum's row over with a token at least as high as its own; ``OwnershipRefused`` otherwise.

    Nothing else changes, and writers are not held up.
    """
    with refusals():
        query = "SELECT mode, epoch, capture FROM forum_raise_token(%s, %s)"
        row = connection.execute(query, (forum, token)).fetchone()
    if row is None:
        raise AssertionError("the function always returns a row")
    return Claimed(*row)


def enter_as_mover(connection: psycopg.Connection, *, forum: int, epoch: int, token: int, mode: OwnershipMode) -> None:
    """Let the running transaction write rows of a forum that this shard does not serve."""
    with refusals():
        connection.execute("SELECT forum_enter_as_mover(%s, %s, %s, %s)", (forum, epoch, token, mode))


def enter_to_copy(connection: psycopg.Connection, *, forum: int, epoch: int, token: int) -> None:
    """As ``enter_as_mover`` for an incoming forum, and two transactions of one mover may do so at the same time.

    In a pipeline; what is refused is raised at its end.
    """
    connection.execute("SELECT forum_enter_to_copy(%s, %s, %s)", (forum, epoch, token))


@contextmanager
def refusals() -> Iterator[None]:
    """A shard's FM003 as ``OwnershipRefused``."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate == TOKEN_REFUSED:
            raise OwnershipRefused(error.diag.message_primary or "", ownership_of(error)) from error
        raise
