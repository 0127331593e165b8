"""One running service for all journeys that do not start their own: real servers, real processes, real traffic."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from forum_backend.embedded import last_lines
from tests.journeys.browsing import CHROMIUM, QUIET
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


@pytest.fixture
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs a Chromium")
        pytest.skip("there is no Chromium on this machine")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield running
        running.close()


@pytest.fixture(autouse=True)
def _logs(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the processes said while a journey that failed was on its way, beside its failure."""
    yield
    if "service" in request.fixturenames:
        running: Service = request.getfixturevalue("service")
        for name in ("web", "relay", "worker", "beat"):
            print(f"--- end of {name}.log\n{last_lines(running.log(name))}")
