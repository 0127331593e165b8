"""The lease of a shard's relay: one works, another stands by; a row lock makes their transactions serial.

Safety never depends on clocks. Whoever takes the lease raises its token, and each transaction of a relay begins by
updating the lease row under its own token: an overtaken relay finds no row and can do nothing.
"""

import os
import secrets
import socket
from dataclasses import dataclass
from typing import Any

import psycopg

LEASE_S = 3.0

TAKE_SQL = """
UPDATE relay_lease SET holder = %(holder)s, token = token + 1,
                       leased_until = clock_timestamp() + %(seconds)s * interval '1 s'
WHERE id = 1 AND (leased_until IS NULL OR leased_until < clock_timestamp() OR holder = %(holder)s)
RETURNING token, published_position
"""
HOLD_SQL = """
UPDATE relay_lease SET leased_until = clock_timestamp() + %(seconds)s * interval '1 s',
                       published_position = greatest(published_position, %(published)s)
WHERE id = 1 AND token = %(token)s
RETURNING EXISTS (SELECT FROM ownership WHERE NOT is_announced)
"""
RELEASE_SQL = """
UPDATE relay_lease SET leased_until = NULL, published_position = greatest(published_position, %(published)s)
WHERE id = 1 AND token = %(token)s
"""


class LeaseLost(Exception):
    """Another relay has taken over this shard."""


@dataclass(slots=True)
class Lease:
    """Held from ``take`` until ``LeaseLost``; ``published`` is the last position that Redis has taken."""

    token: int
    published: int

    def hold(self, connection: psycopg.Connection[Any]) -> psycopg.Cursor[Any]:
        """Begin a relay transaction: lock and renew the lease. ``is_unannounced`` reads the answer."""
        return connection.execute(HOLD_SQL, self._parameters())

    def is_unannounced(self, held: psycopg.Cursor[Any]) -> bool:
        """Whether a forum waits to be announced; ``LeaseLost`` if the lease was not ours to hold."""
        row = held.fetchone()
        if row is None:
            raise LeaseLost
        return bool(row[0])

    def release(self, connection: psycopg.Connection[Any]) -> None:
        """Let the next relay in at once; does nothing if it is there already."""
        connection.execute(RELEASE_SQL, self._parameters())

    def _parameters(self) -> dict[str, Any]:
        return {"token": self.token, "published": self.published, "seconds": LEASE_S}


def holder_name() -> str:
    """A name that no other relay process has."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}"


def take(connection: psycopg.Connection[Any], *, holder: str) -> Lease | None:
    """The lease with a higher token than any before; None while another relay holds it."""
    row = connection.execute(TAKE_SQL, {"holder": holder, "seconds": LEASE_S}).fetchone()
    return Lease(token=row[0], published=row[1]) if row else None
