"""What a shard says when it refuses, as our errors: FM001, FM002 and FM003 carry the ownership row as JSON."""

import json

import psycopg
from django.db import InterfaceError, OperationalError

from forum_backend.domain.errors import ForumNotEntered, NotOwner, Ownership, RoutingError, ShardPromoted, TokenRefused

NOT_OWNER, NOT_ENTERED, TOKEN_REFUSED, PROMOTED = "FM001", "FM002", "FM003", "FM004"
# The transaction can run again as it is: deadlock, serialization failure.
REPEATABLE = frozenset({"40P01", "40001"})
# The server ended a session that sat in a transaction for too long; psycopg calls that an internal error.
SAT_TOO_LONG = "25P03"


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE behind an error of psycopg, or of Django around one."""
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def refusal_of(error: BaseException, *, forum: int, shard: str) -> RoutingError | ShardPromoted | None:
    """The error of ours that a shard's refusal stands for; None for any other error."""
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    state = sqlstate_of(error)
    if not isinstance(cause, psycopg.Error) or state is None:
        return None
    if state == NOT_OWNER:
        return NotOwner(forum=forum, shard=shard, ownership=ownership_of(cause))
    if state == NOT_ENTERED:
        return ForumNotEntered(cause.diag.message_primary or "")
    if state == PROMOTED:
        return ShardPromoted(shard)
    if state == TOKEN_REFUSED:
        return TokenRefused(cause.diag.message_primary or "")
    return None


def ownership_of(cause: psycopg.Error) -> Ownership:
    """The ownership row in a refusal's detail; mode ``absent`` if the shard has none."""
    detail = json.loads(cause.diag.message_detail or '{"mode": "absent", "epoch": 0}')
    return Ownership(detail["mode"], detail["epoch"], detail.get("went_to"), detail.get("went_epoch"))


def is_connection_lost(error: BaseException) -> bool:
    """Whether the server did not answer or the connection broke: class 08 and 57P, or no SQLSTATE at all."""
    state = sqlstate_of(error)
    if state == SAT_TOO_LONG:
        return True
    if not isinstance(error, (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)):
        return False
    return state is None or state[:2] == "08" or state in {"57P01", "57P02", "57P03", "53300"}
