"""The consumer that counts a user's posts and points, in the profiles database."""

from typing import Any

from forum_backend.domain.events import PostCreated, PostDeleted, PostVoted, decode
from forum_backend.queries.history import LoggedEvent
from workers.relay.accounts import make_missing_profiles

# Locked in one order, so that two relays that count for the same users cannot wait for each other.
LOCK_SQL = "SELECT user_id FROM profile WHERE user_id = ANY(%s) ORDER BY user_id FOR NO KEY UPDATE"
COUNT_SQL = """
UPDATE profile SET posts_count = profile.posts_count + added.posts, points = profile.points + added.points
FROM unnest(%s::bigint[], %s::int[], %s::int[]) AS added (user_id, posts, points)
WHERE profile.user_id = added.user_id
"""


class ProfileCounters:
    """``posts_count`` follows posts created and deleted, ``points`` the votes on them."""

    name = "profile_counters"
    database = "profiles"

    def apply(self, cursor: Any, events: list[LoggedEvent]) -> None:
        added = additions(events)
        users = sorted(added)
        if not users:
            return
        cursor.execute(LOCK_SQL, [users])
        missing = set(users) - {row[0] for row in cursor.fetchall()}
        if missing:
            make_missing_profiles(sorted(missing))
        cursor.execute(COUNT_SQL, [users, [added[user][0] for user in users], [added[user][1] for user in users]])


def additions(events: list[LoggedEvent]) -> dict[int, tuple[int, int]]:
    """What events add for each user: posts and points."""
    added: dict[int, tuple[int, int]] = {}
    for logged in events:
        event = decode(type=logged.type, subject_id=logged.subject_id, data=logged.data)
        match event:
            case PostCreated(author_id=int(user)):
                change = (1, 0)
            case PostDeleted(author_id=int(user)):
                change = (-1, 0)
            case PostVoted(author_id=int(user), delta=delta):
                change = (0, delta)
            case _:
                continue
        posts, points = added.get(user, (0, 0))
        added[user] = (posts + change[0], points + change[1])
    return added
