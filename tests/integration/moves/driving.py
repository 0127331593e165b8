"""Driving moves by hand in tests: to the end, or up to a point; and what must hold afterwards, wherever it broke."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import connections, transaction
from django.utils import timezone

from forum_backend.data.control.directory.models import ForumPlacement
from forum_backend.data.control.moves.models import Move
from forum_backend.data.shard.models import Post, Thread, Vote
from forum_backend.domain.moves import FINAL, MoveState
from forum_backend.queries.forum_read import forum_read, ownership_on
from forum_backend.services.failpoints import MOVE_POINTS
from forum_backend.services.forum_rows import Digest, digest
from forum_backend.services.forum_write import OpenForum, forum_write
from forum_backend.services.moves import request_move
from forum_backend.services.ownership import Limits, connected
from routers.registry import registry
from tests import factories
from workers.rebalance.runner import drive

POINTS = MOVE_POINTS
# A rollback copies nothing.
ROLLBACK_POINTS = tuple(point for point in POINTS if not point.startswith("copy."))
MAX_DRIVES = 12


class Crash(BaseException):
    """The mover's process dies here: nothing of it runs any more but what the kernel does for a dead process."""


def at(point: str, happens: Callable[[], None]) -> Callable[[str], None]:
    """An observer that makes something happen once, at a point."""
    pending = [happens]

    def observe(reached: str) -> None:
        if reached == point and pending:
            pending.pop()()

    return observe


def crash_at(point: str) -> Callable[[str], None]:
    def crash() -> None:
        raise Crash(point)

    return at(point, crash)


@dataclass(frozen=True)
class Populated:
    """A forum with rows in it."""

    forum: int
    thread: Thread
    source: str
    target: str

    def write(self, body: str = "written later") -> Post:
        return factories.make_post(self.thread, body=body)

    def plan(self, target: str | None = None) -> Move:
        return request_move(forum_id=self.forum, target=target or self.target, requested_by=None, now=timezone.now())


def populated(source: str = "shard_00", target: str = "shard_01") -> Populated:
    """A forum on a shard, with a thread, a tree of posts, and votes on them."""
    from forum_backend.data.shard.models import Vote
    from forum_backend.services.forum_write import forum_write

    forum = factories.make_forum(source).pk
    thread = factories.make_thread(forum)
    first = factories.make_post(thread, body="first", dsq_id=7)
    reply = factories.make_post(thread, body="reply ✓", parent=first)
    for number in range(6):
        factories.make_post(thread, body=f"deeper {number}", parent=reply)
    forum_write(forum, lambda open_forum: Vote.objects.in_forum(open_forum).create(post=first, user_id=1, value=1))
    return Populated(forum, thread, source, target)


def change_everything(place: Populated) -> None:
    """An insert, an edit and a delete; and a vote that goes and comes again under the same unique key."""
    new = place.write("inserted")

    def write(forum: OpenForum) -> None:
        posts = Post.objects.using(forum.shard).filter(forum_id=forum.forum_id)
        posts.filter(body="deeper 0").update(body="edited")
        posts.filter(body="deeper 5").delete()
        votes = Vote.objects.using(forum.shard).filter(forum_id=forum.forum_id)
        votes.filter(user_id=1).delete()
        first = posts.get(body="first")
        Vote.objects.in_forum(forum).create(post=first, user_id=1, value=-1)
        Vote.objects.in_forum(forum).create(post=new, user_id=2, value=1)

    forum_write(place.forum, write)


def expire_lease(move: Move) -> int:
    """The mover's time is up; returns the token that the next one must name."""
    Move.objects.filter(pk=move.pk).update(leased_until=None)
    return Move.objects.values_list("token", flat=True).get(pk=move.pk)


def drive_to_end(move: Move) -> Move:
    """As Celery does, one mover after the other, without waiting for leases, pauses and the retention time."""
    for _ in range(MAX_DRIVES):
        Move.objects.filter(pk=move.pk, state=MoveState.REVERSIBLE).update(reversible_until=None)
        drive(move_id=move.pk, token=expire_lease(move))
        move.refresh_from_db()
        if move.state in FINAL:
            return move
    raise AssertionError(f"the move is still {move.state}: {move.error}")


def owners(forum: int) -> list[str]:
    """The shards that own a forum: never more than one."""
    return [alias for alias in registry.aliases() if ownership_on(alias, forum).mode == "owner"]


def modes(forum: int) -> dict[str, str]:
    return {alias: ownership_on(alias, forum).mode for alias in registry.aliases()}


def content(forum: int) -> dict[str, Digest]:
    """Count and hash of all tables of a forum, on the shard that owns it."""
    (owner,) = owners(forum)
    return content_on(owner, forum)


def content_on(shard: str, forum: int) -> dict[str, Digest]:
    with connected(shard, Limits()) as connection:
        return digest(connection, forum)


def bodies(forum: int) -> list[str]:
    """The posts that readers see, in the order of their ids."""

    def read(alias: str) -> list[str]:
        return list(Post.objects.using(alias).filter(forum_id=forum).order_by("pk").values_list("body", flat=True))

    return forum_read(forum, read)


def placement(forum: int) -> tuple[str, int]:
    return ForumPlacement.objects.values_list("shard_id", "epoch").get(pk=forum)


def end_movers_connections(shard: str) -> int:
    """Cut every connection of movers to a shard, at the server."""
    with connections[shard].cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = 'forum_mover'"
        )
        return int(cursor.fetchone()[0])


def forget_the_departure(place: Populated) -> None:
    """What a crash of the source does that loses its last, unforced commit: the fence is there again."""
    with transaction.atomic(using=place.source), connections[place.source].cursor() as cursor:
        cursor.execute("SELECT set_config('forum.ownership', %s, true)", [str(place.forum)])
        cursor.execute("UPDATE ownership SET mode = 'fenced' WHERE forum_id = %s", [place.forum])
