"""Starts the servers of a test run, migrates them, and opens the databases to all tests.

Nothing is rolled back or flushed between tests: as in production, what keeps tests apart is that each has forums
and users of its own. Coroutine tests run in an event loop of their own, with a time limit. Where a run has several
processes, each has servers of its own, and the one that hands out the tests has none.
"""

import asyncio
import inspect
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from forum_backend.embedded import EmbeddedServers

# How long an example takes says nothing while other processes want the same cores.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

COROUTINE_LIMIT_S = 120
SERVERS = pytest.StashKey[EmbeddedServers]()
ADDRESSES = pytest.StashKey[dict[str, str]]()
DIRECTORY = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    if config.option.collectonly:
        return
    given = getattr(config, "workerinput", {}).get("directory")
    directory = Path(tempfile.mkdtemp(prefix="forum-tests-", dir=given))
    directory.chmod(0o711)  # as root, the servers run as another user, who must be able to pass
    config.stash[DIRECTORY] = directory
    if getattr(config.option, "dist", "no") != "no":
        return
    config.stash[SERVERS] = servers = EmbeddedServers(directory=directory, shards=3, durable=False)
    servers.start()
    config.stash[ADDRESSES] = servers.environment()
    os.environ.update(
        config.stash[ADDRESSES],
        DJANGO_SETTINGS_MODULE="forum_backend.settings",
        SECRET_KEY="for-tests-only",
        LOG_LEVEL="WARNING",
        PYTHONPATH=os.pathsep.join(filter(None, [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])),
    )
    import django

    django.setup()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """After the fixtures; a process of several is ended soon after it has said that it is finished."""
    _destroy(session.config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Where there was no session to finish; and the folder of processes that were ended before they could."""
    _destroy(config)
    if DIRECTORY in config.stash:
        shutil.rmtree(config.stash[DIRECTORY], ignore_errors=True)


def _destroy(config: pytest.Config) -> None:
    servers = config.stash.get(SERVERS, None)
    if servers is not None:
        del config.stash[SERVERS]
        servers.destroy()
        shutil.rmtree(config.stash[DIRECTORY], ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Where the servers of one of several processes lie: in the folder of the one that hands out the tests."""
    node.workerinput["directory"] = str(node.config.stash[DIRECTORY])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where a run has several processes."""
    from tests.distribution import ByFile

    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test; pytest-asyncio's loop and Django's connections do not go together (pytest-django #580).

    Each has a loop of its own, and pools belong to a loop: they end with it, as they do with a process.
    """
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    asyncio.run(_with_pools(pyfuncitem.obj(**arguments)))
    return True


async def _with_pools(test: Coroutine[Any, Any, None]) -> None:
    from forum_backend.queries.async_pools import close_pools

    try:
        await asyncio.wait_for(test, COROUTINE_LIMIT_S)
    finally:
        await close_pools()


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> EmbeddedServers:
    """The running servers: a test may stop or kill one, and must start it again."""
    return pytestconfig.stash[SERVERS]


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: Any) -> None:
    """Migrate the run's own databases once, with the command that operators use."""
    from django.core.management import call_command

    with django_db_blocker.unblock():
        call_command("migrate_all", stdout=sys.stderr)


@pytest.fixture(autouse=True, scope="session")
def _databases(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


@pytest.fixture(autouse=True)
def _no_broken_connections(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test that may have stopped a server, this thread connects anew and believes all shards.

    So does the one in which coroutine tests run what is synchronous.
    """
    yield
    if "servers" in request.fixturenames:
        from asgiref.sync import sync_to_async
        from django.db import connections

        from routers.health import health

        connections.close_all()
        asyncio.run(sync_to_async(connections.close_all)())
        for alias in connections.databases:
            health.answered(alias)


@pytest.fixture(autouse=True)
def _addresses_stay(pytestconfig: pytest.Config) -> Iterator[None]:
    """No server came back on another port, where neither this process nor those it started would look for it."""
    yield
    assert pytestconfig.stash[SERVERS].environment() == pytestconfig.stash[ADDRESSES]


@pytest.fixture
def no_control(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The control database does not answer who connects anew: as if its server were down, but not for later tests."""
    from django.db import connections

    connections["default"].close()
    with monkeypatch.context() as unreachable:
        unreachable.setitem(connections.databases["default"], "PORT", "1")
        yield
        connections["default"].close()


@pytest.fixture
def make_user() -> Callable[..., Any]:
    """Makes an account (and its profile, as the event would) with a name of its own."""
    from tests import factories

    return factories.make_user


@pytest.fixture
def make_forum() -> Callable[..., Any]:
    """Makes an empty forum on a shard; returns its placement."""
    from tests import factories

    return factories.make_forum
