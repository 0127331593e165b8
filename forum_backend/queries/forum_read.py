"""Reading a forum where it lives: rows first, then the shard's word on whether it was the one to ask."""

from collections.abc import Callable
from functools import partial

from django.db import DatabaseError, InterfaceError, connections

from forum_backend.domain.errors import ForumMoving, NotFound, NotOwner, Ownership, ShardUnavailable
from forum_backend.domain.moves import OwnershipMode
from forum_backend.queries.reads import count_read
from routers.directory import Location, directory
from routers.health import health
from routers.redirect import MAX_HOPS, follow, moved_away
from routers.refusals import is_connection_lost
from routers.registry import registry

# A shard is these only for a forum that it has owned at that epoch.
TAKEN_OVER = (OwnershipMode.OWNER, OwnershipMode.FENCED, OwnershipMode.DEPARTED)
OWNERSHIP_SQL = "SELECT mode, epoch, went_to, went_epoch FROM ownership WHERE forum_id = %s"


def forum_read[T](forum: int, read: Callable[[str], T]) -> T:
    """Run ``read(shard alias)`` on the shard that owns the forum and return its result; no lock is taken.

    The ownership is read after the rows: if the shard owns the forum then, it did when the rows were read. Under a
    fence the target is asked as well, so that who has just written there sees it. Raises ``NotFound`` for an unknown
    forum, ``ShardUnavailable`` when the server does not answer.
    """
    location = directory.locate(forum)
    count_read(forum)
    for _hop in range(MAX_HOPS):
        try:
            rows = _on_shard(location.shard, partial(_looked_for, read, location.shard))
            ownership = ownership_on(location.shard, forum)
        except NotOwner as refusal:
            location = follow(refusal)
            continue
        except ShardUnavailable:
            elsewhere = moved_away(forum, location)
            if elsewhere is None:
                raise
            location = elsewhere
            continue
        following = redirect_of_read(ownership, forum=forum, location=location)
        if following is None:
            if isinstance(rows, NotFound):
                raise rows
            return rows
        location = following
    raise ForumMoving(f"forum {forum} was not found at the end of {MAX_HOPS} redirects")


def _looked_for[T](read: Callable[[str], T], shard: str) -> T | NotFound:
    """What is not here may have left with its forum: that it is nowhere is said once the ownership is known."""
    try:
        return read(shard)
    except NotFound as missing:
        return missing


def redirect_of_read(ownership: Ownership, *, forum: int, location: Location) -> Location | None:
    """None if rows read on this shard before its ownership was read are good; else where to read (may do I/O)."""
    if ownership.mode == OwnershipMode.OWNER:
        if ownership.epoch > location.epoch:  # it may have come back only after the rows were read: they may be old
            return directory.correct(forum, Location(location.shard, ownership.epoch))
        return None
    if ownership.mode == OwnershipMode.FENCED:
        return _activated_target(ownership, forum)
    return follow(NotOwner(forum=forum, shard=location.shard, ownership=ownership))


def _activated_target(fenced: Ownership, forum: int) -> Location | None:
    """Where to read on if the target of a fenced forum has taken it over, or even handed it on; None if it has not.

    A target that does not answer took no writes, unless the directory has heard of its having the forum.
    """
    if fenced.went_to is None or fenced.went_epoch is None:
        return None
    try:
        target = ownership_on(registry.ensure(fenced.went_to), forum)
    except ShardUnavailable:
        known = directory.reload(forum)
        return known if known.epoch >= fenced.went_epoch else None
    if target.mode in TAKEN_OVER and target.epoch >= fenced.went_epoch:
        return directory.correct(forum, Location(fenced.went_to, target.epoch))
    return None


def ownership_on(shard: str, forum: int) -> Ownership:
    """A shard's own word on a forum; mode ``absent`` if it has none."""

    def read() -> Ownership:
        with connections[shard].cursor() as cursor:
            cursor.execute(OWNERSHIP_SQL, [forum])
            row = cursor.fetchone()
        return Ownership(*row) if row else Ownership("absent", 0)

    return _on_shard(shard, read)


def _on_shard[T](shard: str, read: Callable[[], T]) -> T:
    """Run a read; once more on a new connection if a kept one turns out broken."""
    with health.place_at(shard):  # once: a broken kept connection must not use up the attempt
        for is_last in (connections[shard].connection is None, True):
            try:
                result = read()
            except (DatabaseError, InterfaceError) as error:
                if not is_connection_lost(error):
                    health.answered(shard)
                    raise
                connections[shard].close()
                if is_last:
                    health.failed(shard)
                    raise ShardUnavailable(shard) from error
            else:
                health.answered(shard)
                return result
    raise AssertionError("unreachable")
