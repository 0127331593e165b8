"""Hashing of passwords: made slow on purpose, so only a few threads do it at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.hashers import Argon2PasswordHasher

from forum_backend.domain.errors import Overloaded

AT_ONCE = 2
WAIT_LIMIT_S = 2.0

_places = threading.BoundedSemaphore(AT_ONCE)


class Argon2Hasher(Argon2PasswordHasher):
    """Argon2id with the parameters that OWASP recommends (19 MiB, 2 passes, 1 lane); verifies older hashes too."""

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1


@contextmanager
def hashing_place(wait_limit_s: float = WAIT_LIMIT_S) -> Iterator[None]:
    """One of the few places to hash a password in; ``Overloaded`` if none becomes free in time."""
    if not _places.acquire(timeout=wait_limit_s):
        raise Overloaded
    try:
        yield
    finally:
        _places.release()
