"""One running service for all journeys that do not start their own: real servers, real processes, real traffic."""

from collections.abc import Iterator

import pytest

from tests.journeys.people import Person, make_person
from tests.running import Service


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """Durable servers, one web process, relay, worker and beat."""
    with Service(settings={"SIGN_IN_ATTEMPTS_PER_MINUTE": "10000"}) as running:
        yield running


@pytest.fixture(scope="session")
def staff(service: Service) -> Person:
    """Somebody who may move forums."""
    return Person("staff", service.token("staff", staff=True))


@pytest.fixture
def person(service: Service) -> Person:
    """Somebody new, with a token."""
    return make_person(service)
