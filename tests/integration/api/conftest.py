"""One real web process for the tests of the JSON interface, and clients that are signed in."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.processes import web

LIMIT_S = 20.0


@pytest.fixture(scope="package")
def port(_databases: None) -> Iterator[int]:
    with web("forum_backend.asgi:application") as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[httpx.Client]:
    """Nobody in particular."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=LIMIT_S) as client:
        yield client


@pytest.fixture
def sign_in(port: int) -> Iterator[Callable[..., httpx.Client]]:
    """Makes clients, each of a user of its own (or the one given); ``client.user`` is the account."""
    from django.utils import timezone

    from forum_backend.services.accounts import create_token
    from tests.factories import make_user

    clients: list[httpx.Client] = []

    def make(user: Any = None, *, is_staff: bool = False) -> httpx.Client:
        user = user or make_user(is_staff=is_staff)
        token = create_token(user=user, now=timezone.now())
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/api/v1", timeout=LIMIT_S, headers={"Authorization": f"Bearer {token}"}
        )
        client.user = user  # type: ignore[attr-defined]
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()
