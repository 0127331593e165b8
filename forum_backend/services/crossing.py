"""The one crossing from the event loop into synchronous code: a bounded pool of threads with a bounded queue.

Django keeps one connection a database and thread, and these threads live as long as the process: so a process never
has more than ``SERVICE_THREADS`` connections of this kind to a database, and no connection is opened per request.
"""

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections

from forum_backend.domain.errors import Overloaded, Unavailable
from forum_backend.services.gates import NOT_HERE, GateClosed, gate_places, waits_until
from routers.health import drop_if_hung_up
from routers.refusals import is_connection_lost

# Whoever asks a shard sees to the connection, and asks again where it broke; whoever asks these does not.
ASKED_ONCE = ("default", "profiles")

_executor = ThreadPoolExecutor(settings.SERVICE_THREADS, thread_name_prefix="service")
_places = threading.BoundedSemaphore(settings.SERVICE_THREADS + settings.SERVICE_QUEUE)


async def in_service_thread[**P, T](function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a synchronous function in a service thread and await its result. ``Overloaded`` if the queue is full.

    A call that meets a fence is made again when its turn has come to wait there: what a function does before it enters
    a forum must be the same when it is done twice. ``ForumMoving`` if the fence stands too long, or too many wait.
    """
    call = functools.partial(function, *args, **kwargs)
    with suppress(GateClosed):
        return await _crossed(call, waits=NOT_HERE)
    async with gate_places.place() as until:
        return await _crossed(call, waits=until)


async def _crossed[T](call: Callable[[], T], *, waits: float) -> T:
    if not _places.acquire(blocking=False):
        raise Overloaded
    try:
        context = copy_context()
        context.run(waits_until.set, waits)
        future = _executor.submit(context.run, _call, call)
    except BaseException:
        _places.release()
        raise
    future.add_done_callback(lambda _done: _places.release())
    return await asyncio.wrap_future(future)


def busy() -> int:
    """How many calls run or wait for a thread right now."""
    return settings.SERVICE_THREADS + settings.SERVICE_QUEUE - _places._value  # for measuring only


def _call[T](call: Callable[[], T]) -> T:
    for alias in ASKED_ONCE:
        drop_if_hung_up(alias)
    try:
        return call()
    except (DatabaseError, InterfaceError) as error:
        close_broken_connections()
        if is_connection_lost(error):
            raise Unavailable("A database does not answer") from error
        raise


def close_broken_connections() -> None:
    """Close this thread's connections that are broken or stuck in a transaction; the next query opens new ones."""
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()
