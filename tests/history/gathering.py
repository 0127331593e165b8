"""Waits until everything has settled, then reads all that the verdict looks at, from the databases and the API."""

import time
from typing import Any

import psycopg

from forum_backend.domain.moves import MoveState
from tests.history.client import Client
from tests.history.observed import ForumState, Observed, Row, User
from tests.history.sampler import shard_addresses
from tests.running import Service

SETTLE_LIMIT_S = 60.0
LOOK_S = 0.1
CONSUMER = "profile_counters"
NUMBER_BITS = 23

_POSTS = "SELECT id, thread_id, author_id, body, is_deleted, points FROM post WHERE forum_id = %s ORDER BY id"
_VOTES = "SELECT post_id, user_id, value FROM vote WHERE forum_id = %s"
_THREADS = "SELECT id, posts_count FROM thread WHERE forum_id = %s AND NOT is_deleted"
_COUNTERS = "SELECT last_number, threads_count, posts_count FROM forum_counters WHERE forum_id = %s"
_EVENTS = "SELECT id >> %s, type, subject_id FROM forum_event WHERE forum_id = %s ORDER BY id"
_WAITING = "SELECT count(*) FROM outbox WHERE forum_id = %s"
_CURSORS = "SELECT forum_id, number FROM consumer_cursor WHERE consumer = %s AND forum_id = ANY(%s)"
_USERS = "SELECT username, user_id, posts_count, points FROM profile WHERE username = ANY(%s)"


_STATES = "SELECT type FROM status_event WHERE move_id = %s AND type LIKE 'move.%%' ORDER BY number"
_ROLLS_BACK = "SELECT rolls_back_id IS NOT NULL FROM move WHERE id = %s"


def query(address: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(address, connect_timeout=5, options="-c statement_timeout=30000") as connection:
        return connection.execute(statement.encode(), parameters).fetchall()


def owners_of(service: Service, forum: int) -> list[str]:
    """The shards that say they own the forum; there must be one."""
    owned = "SELECT 1 FROM ownership WHERE forum_id = %s AND mode = 'owner'"
    return [shard for shard, address in shard_addresses(service).items() if query(address, owned, forum)]


def settle(service: Service, forums: list[int]) -> None:
    """Until each forum has an owner, its events have numbers, and profiles have counted them; or time is up.

    Not an error then: the verdict will say what is wrong.
    """
    deadline = time.monotonic() + SETTLE_LIMIT_S
    while not all(is_settled(service, forum) for forum in forums) and time.monotonic() < deadline:
        time.sleep(LOOK_S)


def is_settled(service: Service, forum: int) -> bool:
    owners = owners_of(service, forum)
    if len(owners) != 1:
        return False
    address = shard_addresses(service)[owners[0]]
    ((waiting,),) = query(address, _WAITING, forum)
    ((last, _, _),) = query(address, _COUNTERS, forum)
    counted = query(service.environment["PROFILES_DATABASE_URL"], _CURSORS, CONSUMER, [forum])
    return waiting == 0 and counted == [(forum, last)]


def forum_state(service: Service, forum: int) -> ForumState:
    owners = owners_of(service, forum)
    if not owners:
        return ForumState(forum, [], [], [], {}, 0, 0, 0, [])
    address = shard_addresses(service)[owners[0]]
    ((last_number, threads_count, posts_count),) = query(address, _COUNTERS, forum)
    return ForumState(
        forum=forum,
        owners=owners,
        posts=[Row(*row) for row in query(address, _POSTS, forum)],
        votes=[(post, user, value) for post, user, value in query(address, _VOTES, forum)],
        thread_counts=dict(query(address, _THREADS, forum)),
        last_number=last_number,
        threads_count=threads_count,
        posts_count=posts_count,
        events=[(number, kind, subject) for number, kind, subject in query(address, _EVENTS, NUMBER_BITS, forum)],
        waiting=query(address, _WAITING, forum)[0][0],
    )


def recorded_states(service: Service, move: int) -> tuple[list[str], bool]:
    """The states that a move went through, as its status events tell; and whether it was a rollback."""
    control = service.environment["DATABASE_URL"]
    ((is_rollback,),) = query(control, _ROLLS_BACK, move)
    told = [kind.removeprefix("move.") for (kind,) in query(control, _STATES, move)]
    return [
        word for word in told if word in set(MoveState)
    ], is_rollback  # others tell of progress, pauses and the like


async def gather(service: Service, client: Client, *, forums: list[int], users: list[str]) -> Observed:
    """The end of a run: nobody writes any more."""
    states = [forum_state(service, forum) for forum in forums]
    found = query(service.environment["PROFILES_DATABASE_URL"], _USERS, users)
    pages = {thread: await page_ids(client, thread) for state in states for thread in state.thread_counts}
    return Observed(states, {name: User(user, posts, points) for name, user, posts, points in found}, pages)


async def page_ids(client: Client, thread: int) -> list[int]:
    ids: list[int] = []
    path = f"/threads/{thread}/posts?limit=100"
    following = ""
    for _ in range(10_000):
        answer = await client.ask("GET", path + following, expected=(200,))
        if answer.status != 200:
            return ids
        ids += [int(item["id"]) for item in answer.content["items"]]
        if answer.content["next"] is None:
            return ids
        following = f"&cursor={answer.content['next']}"
    raise AssertionError(f"the pages of thread {thread} do not end")
