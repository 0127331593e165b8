"""From a shard's refusal to the place to try next: corrects the directory, says when to wait instead."""

from forum_backend.domain.errors import ForumMoving, NotOwner, UnknownShard
from forum_backend.domain.moves import OwnershipMode
from routers.directory import Location, directory
from routers.registry import registry

# A forum that moved often leaves a chain of tombstones; nobody needs to follow more than this in one request.
MAX_HOPS = 12


def moved_away(forum: int, location: Location) -> Location | None:
    """Where the forum lives if the shard that does not answer has lost it meanwhile; None if it has not (I/O)."""
    current = directory.reload(forum)
    return current if current.shard != location.shard else None


def follow(refusal: NotOwner) -> Location:
    """Where to go after a refusal that is not a fence. ``ForumMoving`` if nobody knows better yet (may do I/O)."""
    own = refusal.ownership
    known = directory.known(refusal.forum)
    has_left = own.mode == OwnershipMode.DEPARTED
    if has_left and own.went_to is not None and own.went_epoch is not None and _is_in_use(own.went_to):
        return directory.correct(refusal.forum, Location(own.went_to, own.went_epoch))
    if own.mode == OwnershipMode.OWNER and (known is None or own.epoch > known.epoch):
        return directory.correct(refusal.forum, Location(refusal.shard, own.epoch))
    location = directory.reload(refusal.forum)
    if known is not None and location == known and location.shard == refusal.shard:
        raise ForumMoving
    return location


def _is_in_use(shard: str) -> bool:
    """False for a shard that was removed: it was empty then, and the directory knows where its forums went."""
    try:
        registry.ensure(shard)
    except UnknownShard:
        return False
    return True
