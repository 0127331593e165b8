"""The content of a forum looked at anew: how many rows it has, and their hash, beside what its last move found."""

import threading
from dataclasses import dataclass
from typing import Any

from psycopg.errors import QueryCanceled

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import Overloaded, Unavailable
from forum_backend.domain.moves import MoveState, content_text
from forum_backend.queries.forum_read import forum_read
from forum_backend.services.forum_rows import Digest, digest
from forum_backend.services.move_recovery import unavailable
from forum_backend.services.ownership import Limits, connected

# Every row is read: a large forum takes its time.
LIMITS = Limits(lock_ms=1_000, statement_ms=600_000, idle_ms=600_000)
_reading = threading.Lock()


@dataclass(frozen=True, slots=True)
class Verification:
    """What a forum holds on the shard that owns it, and what its last move found when it was verified."""

    forum: int
    shard: str
    tables: dict[str, Digest]
    at_last_move: dict[str, Any] | None

    def shape(self) -> dict[str, Any]:
        """For readers; ``is_as_moved``: nothing changed since the last move (writers may have, that is no fault)."""
        content = content_text(sum(table.content for table in self.tables.values()))
        moved = (self.at_last_move or {}).get("content")
        return {
            "forum": str(self.forum),
            "shard": self.shard,
            "rows": sum(table.rows for table in self.tables.values()),
            "content": content,
            "tables": {
                name: {"rows": table.rows, "content": content_text(table.content)}
                for name, table in self.tables.items()
            },
            "at_last_move": self.at_last_move,
            "is_as_moved": None if moved is None else moved == content,
        }


def verify_forum(forum_id: int) -> Verification:
    """Read every row of a forum on its shard, in one snapshot. ``NotFound`` for an unknown forum.

    ``Unavailable`` if the shard does not answer, or not within ``LIMITS``.
    """
    shard = forum_read(forum_id, lambda alias: alias)
    tables = _read(forum_id, shard)
    last = (
        Move.objects.filter(forum_id=forum_id, target_id=shard)
        .exclude(state=MoveState.ABORTED)
        .exclude(verdict__isnull=True)
        .order_by("-pk")
        .first()
    )
    return Verification(forum_id, shard, tables, last.verdict if last else None)


def _read(forum_id: int, shard: str) -> dict[str, Digest]:
    try:
        with unavailable(shard), connected(shard, LIMITS) as connection:
            return digest(connection, forum_id)
    except QueryCanceled as error:
        raise Unavailable(f"Reading forum {forum_id} on {shard} took longer than {LIMITS.statement_ms} ms") from error


def verify_alone(forum_id: int) -> Verification:
    """As ``verify_forum``; ``Overloaded`` while this process reads another one: each keeps a thread for long."""
    if not _reading.acquire(blocking=False):
        raise Overloaded("Another forum is being verified here; try again when that is done")
    try:
        return verify_forum(forum_id)
    finally:
        _reading.release()
