"""The one crossing from the event loop into synchronous code: a bounded pool of threads with a bounded queue.

Django keeps one connection a database and thread, and these threads live as long as the process: so a process never
has more than ``SERVICE_THREADS`` connections of this kind to a database, and no connection is opened per request.
"""

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections

from forum_backend.domain.errors import Overloaded, Unavailable
from routers.refusals import is_connection_lost

_executor = ThreadPoolExecutor(settings.SERVICE_THREADS, thread_name_prefix="service")
_places = threading.BoundedSemaphore(settings.SERVICE_THREADS + settings.SERVICE_QUEUE)


async def in_service_thread[**P, T](function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a synchronous function in a service thread and await its result. ``Overloaded`` if the queue is full."""
    if not _places.acquire(blocking=False):
        raise Overloaded
    try:
        work = functools.partial(copy_context().run, _call, function, *args, **kwargs)
        future = _executor.submit(work)
    except BaseException:
        _places.release()
        raise
    future.add_done_callback(lambda _done: _places.release())
    return await asyncio.wrap_future(future)


def busy() -> int:
    """How many calls run or wait for a thread right now."""
    return settings.SERVICE_THREADS + settings.SERVICE_QUEUE - _places._value  # for measuring only


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except (DatabaseError, InterfaceError) as error:
        close_broken_connections()
        if is_connection_lost(error):
            raise Unavailable("A database does not answer") from error
        raise


def close_broken_connections() -> None:
    """Close this thread's connections that are broken or stuck in a transaction; the next query opens new ones."""
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()
