"""Accounts that were registered get their profile, in the other database; then their notice is taken away."""

import logging
import threading

from django.db import DatabaseError, InterfaceError, connections, transaction

logger = logging.getLogger(__name__)

CONTROL, PROFILES = "default", "profiles"
BATCH = 500
POLL_S = 1.0
RETRY_S = 1.0

WAITING_SQL = """
SELECT o.id, o.type, u.id, u.username, u.joined_at FROM account_outbox o JOIN account u ON u.id = o.user_id
ORDER BY o.id LIMIT %s FOR UPDATE OF o SKIP LOCKED
"""
ACCOUNTS_SQL = "SELECT id, username, joined_at FROM account WHERE id = ANY(%s)"
PROFILES_SQL = """
INSERT INTO profile (user_id, username, display_name, about, avatar, posts_count, points, joined_at)
SELECT id, username, '', '', '', 0, 0, joined_at FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[])
    AS new (id, username, joined_at) ORDER BY id
ON CONFLICT DO NOTHING
"""


def make_profiles(accounts: list[tuple[int, str, object]]) -> None:
    """A profile for each (id, username, joined_at) that has none."""
    if accounts:
        ids, names, joined = zip(*accounts, strict=True)
        with connections[PROFILES].cursor() as cursor:
            cursor.execute(PROFILES_SQL, [list(ids), list(names), list(joined)])


def make_missing_profiles(users: list[int]) -> None:
    """For users who are counted before the notice of their registration was read."""
    with connections[CONTROL].cursor() as cursor:
        cursor.execute(ACCOUNTS_SQL, [users])
        accounts = cursor.fetchall()
    make_profiles(accounts)


def apply_waiting(limit: int = BATCH) -> int:
    """Apply up to ``limit`` notices; a crash in between applies them again, which changes nothing."""
    with transaction.atomic(using=CONTROL), connections[CONTROL].cursor() as cursor:
        cursor.execute(WAITING_SQL, [limit])
        rows = cursor.fetchall()
        make_profiles([row[2:] for row in rows if row[1] == "user.registered"])
        cursor.execute("DELETE FROM account_outbox WHERE id = ANY(%s)", [[row[0] for row in rows]])
    return len(rows)


class AccountsConsumer:
    """Runs in a thread of its own until ``stop``; woken by its bell, and by a slow poll."""

    def __init__(self, *, stop: threading.Event) -> None:
        self.bell = threading.Event()
        self._stop = stop

    def run(self) -> None:
        try:
            while not self._stop.is_set():
                self.bell.clear()
                self.bell.wait(self._apply_all())
        finally:
            connections[CONTROL].close()
            connections[PROFILES].close()

    def _apply_all(self) -> float:
        try:
            while not self._stop.is_set() and apply_waiting() == BATCH:
                pass
        except (DatabaseError, InterfaceError) as error:
            connections[CONTROL].close()
            connections[PROFILES].close()
            logger.warning(
                "Registrations were not applied; they are tried again",
                extra={"action": "accounts", "error": type(error).__name__},
            )
            return RETRY_S
        return POLL_S
