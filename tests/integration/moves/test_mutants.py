"""Each rule of the protocol is needed: with it a barrier test loses nothing, without it the same test loses a write."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connections, transaction
from django.test import override_settings
from django.utils import timezone

from forum_backend.data.shard.models import Post
from forum_backend.domain.errors import ForumError
from forum_backend.services.forum_write import forum_write
from forum_backend.services.move_control import pause_move, resume_move
from forum_backend.services.move_recovery import recover_move
from routers.registry import conninfo_of
from tests.integration.moves import mutants
from tests.integration.moves.driving import (
    Populated,
    at,
    bodies,
    drive_to_end,
    expire_lease,
    owners,
    populated,
)
from workers.rebalance.runner import drive

LIMIT_S = 20.0
WAITS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'forum_mover' AND wait_event_type = 'Lock' "
    "AND wait_event = 'advisory'"
)


class Writer:
    """A writer that entered the forum and edits its first post, but has not committed."""

    def __init__(self, place: Populated) -> None:
        self._place, self._ends = place, threading.Event()
        self._connection = psycopg.connect(conninfo_of(place.source))
        self._connection.execute("SELECT forum_enter(%s, 1)", (place.forum,))

    def edit(self, body: str) -> None:
        self._connection.execute(
            "UPDATE post SET body = %s WHERE id = (SELECT min(id) FROM post WHERE forum_id = %s)",
            (body, self._place.forum),
        )

    def commit(self) -> None:
        if not self._connection.closed:
            self._connection.commit()
            self._connection.close()

    def commit_when_a_mover_waits(self) -> threading.Thread:
        """As soon as a mover waits for this writer, if one does."""

        def watch() -> None:
            with psycopg.connect(conninfo_of(self._place.source), autocommit=True) as look:
                while not self._ends.wait(0.005) and not self._connection.closed:
                    row = look.execute(WAITS).fetchone()
                    if row is not None and row[0]:
                        self.commit()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        return thread

    def stop_watching(self, thread: threading.Thread) -> None:
        self._ends.set()
        thread.join(LIMIT_S)


@contextmanager
def writer(place: Populated) -> Iterator[Writer]:
    open_writer = Writer(place)
    thread = open_writer.commit_when_a_mover_waits()
    try:
        yield open_writer
    finally:
        open_writer.stop_watching(thread)
        open_writer.commit()


def finished(place: Populated) -> list[str]:
    """What is wrong once the move is over: owners that are not one."""
    found = owners(place.forum)
    return [] if len(found) == 1 else [f"owned by {found}"]


def missing(place: Populated, *acknowledged: str) -> list[str]:
    """Acknowledged writes that readers do not see."""
    there = set(bodies(place.forum))
    return [f"lost: {body}" for body in acknowledged if body not in there]


def raw_writer_after_a_move() -> list[str]:
    """A program that knows nothing of forums inserts with SQL on the shard that it has always used."""
    place = populated()
    move = place.plan()
    with override_settings(MOVE_RETENTION_S=600):
        drive(move_id=move.pk, token=move.token)
    with suppress(DatabaseError), transaction.atomic(using=place.source), connections[place.source].cursor() as cursor:
        cursor.execute(
            "INSERT INTO post (forum_id, thread_id, author_id, guest_name, guest_username, body, html, created_at, "
            "is_deleted, is_spam, points) VALUES (%s, %s, 1, '', '', 'raw', '<p>raw</p>', now(), false, false, 0) "
            "RETURNING body",
            [place.forum, place.thread.pk],
        )
        acknowledged = [body for (body,) in cursor.fetchall()]
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return missing(place, *acknowledged)
    return []


def writer_at_the_fence() -> list[str]:
    """A writer is in when the fence goes up, and commits once it is waited for, or else when all is done."""
    place = populated()
    move = place.plan()
    with ExitStack() as stack:

        def edit() -> None:
            open_writer = stack.enter_context(writer(place))
            open_writer.edit("edited at the fence")
            stack.callback(open_writer.commit)

        drive(
            move_id=move.pk,
            token=move.token,
            observe=both(at("fence.gate_closed", edit), at("activate.done", stack.close)),
        )
    drive_to_end(move)
    return finished(place) + missing(place, "edited at the fence")


def writer_when_armed() -> list[str]:
    """A writer entered before capture began, edits after it, and commits when it is waited for, or at the fence."""
    place = populated()
    move = place.plan()
    with writer(place) as open_writer:
        drive(
            move_id=move.pk,
            token=move.token,
            observe=both(
                at("arm.before", lambda: open_writer.edit("edited while arming")),
                at("fence.gate_closed", open_writer.commit),
            ),
        )
        open_writer.commit()
    drive_to_end(move)
    return finished(place) + missing(place, "edited while arming")


def late_entry_in_the_log() -> list[str]:
    """A log entry with a low number becomes visible after one with a higher number was applied."""
    place = populated()
    move = place.plan()
    pause_move(move_id=move.pk, at="copying", now=timezone.now())
    drive(move_id=move.pk, token=expire_lease(move))
    with psycopg.connect(conninfo_of(place.source)) as late:
        late.execute("SELECT forum_enter(%s, 1)", (place.forum,))
        late.execute(
            "UPDATE post SET body = 'late' WHERE id = (SELECT min(id) FROM post WHERE forum_id = %s)", (place.forum,)
        )
        forum_write(
            place.forum,
            lambda entered: Post.objects.in_forum(entered).filter(body="deeper 5").update(body="early"),
        )
        resume_move(move_id=move.pk, now=timezone.now())
        drive(move_id=move.pk, token=expire_lease(move), observe=at("ready.done", late.commit))
    drive_to_end(move)
    return finished(place) + missing(place, "early", "late")


def settled_while_activating() -> list[str]:
    """Somebody settles the move in the moment before its mover, who lives, commits on the target."""
    place = populated()
    move = place.plan()
    acknowledged: list[str] = []

    def settle() -> None:
        with suppress(ForumError):  # the target's lock is held by the mover: right so, it may commit
            recover_move(move.pk)
        with psycopg.connect(conninfo_of(place.source)) as source:
            row = source.execute("SELECT mode FROM ownership WHERE forum_id = %s", (place.forum,)).fetchone()
            if row == ("owner",):
                source.execute("SELECT forum_enter(%s, 1)", (place.forum,))
                source.execute("UPDATE post SET body = 'on the source' WHERE forum_id = %s AND parent_id IS NULL",
                               (place.forum,))  # fmt: skip
                acknowledged.append("on the source")

    drive(move_id=move.pk, token=move.token, observe=at("activate.before_commit", settle))
    return finished(place) + missing(place, *acknowledged)


def overtaken_under_its_fence() -> list[str]:
    """A mover sleeps under its fence; another one settles, prepares the target anew; then the first one wakes up."""
    place = populated()
    move = place.plan()

    def overtake() -> None:
        recover_move(move.pk)
        pause_move(move_id=move.pk, at="ready", now=timezone.now())
        for _ in range(3):
            drive(move_id=move.pk, token=expire_lease(move))
        edit_first(place, "edited meanwhile")

    drive(move_id=move.pk, token=move.token, observe=at("activate.before", overtake))
    return finished(place) + missing(place, "edited meanwhile")


def edit_first(place: Populated, body: str) -> None:
    forum_write(place.forum, lambda entered: Post.objects.in_forum(entered).filter(body="first").update(body=body))


def edit_before_the_fence() -> list[str]:
    """A post is edited between the last batch and the fence."""
    place = populated()
    move = place.plan()
    edit = at("fence.gate_closed", lambda: edit_first(place, "edited last"))
    drive(move_id=move.pk, token=move.token, observe=edit)
    drive_to_end(move)
    return finished(place) + missing(place, "edited last")


def damaged_on_its_way() -> list[str]:
    """The last rows arrive on the target as others than were sent."""
    place = populated()
    move = place.plan()

    def edit() -> None:
        place.write("as it was written")
        damage.__enter__()

    damage = mutants.rows_get_damaged()
    drive(move_id=move.pk, token=move.token, observe=at("fence.gate_closed", edit))
    damage.__exit__(None, None, None)
    drive_to_end(move)
    return finished(place) + missing(place, "as it was written")


def both(*observers: Callable[[str], None]) -> Callable[[str], None]:
    def observe(point: str) -> None:
        for each in observers:
            each(point)

    return observe


CASES: dict[str, tuple[Callable[[], list[str]], Callable[[], Any]]] = {
    "no guard": (raw_writer_after_a_move, mutants.no_guard),
    "no lock at the fence": (writer_at_the_fence, mutants.no_lock_at_the_fence),
    "no lock when arming": (writer_when_armed, mutants.no_lock_when_arming),
    "a cursor on the log": (late_entry_in_the_log, mutants.cursor_on_the_log),
    "source reopened first": (settled_while_activating, mutants.source_reopened_first),
    "no token": (overtaken_under_its_fence, mutants.no_token),
    "no last catch-up": (edit_before_the_fence, mutants.no_last_catch_up),
    "no read-back": (damaged_on_its_way, mutants.no_read_back),
}


@pytest.mark.parametrize("rule", CASES)
def test_with_the_rule_nothing_is_lost(rule: str) -> None:
    scenario, _ = CASES[rule]
    assert scenario() == []


@pytest.mark.parametrize("rule", CASES)
def test_without_the_rule_the_same_test_finds_it(rule: str) -> None:
    scenario, mutant = CASES[rule]
    with mutant():
        found = scenario()
    assert found, "the mutant survived"


def test_the_mutants_leave_nothing_behind() -> None:
    """All rules hold again: the shards' functions are what the migrations made them, as on a shard without mutants."""
    query = "SELECT proname, md5(prosrc) FROM pg_proc WHERE proname ~ '^(forum|shard)_' ORDER BY 1"
    found = []
    for shard in (*mutants.SHARDS, "shard_02"):
        with connections[shard].cursor() as cursor:
            cursor.execute(query)
            found.append(cursor.fetchall())
    assert found[0] == found[1] == found[2]
