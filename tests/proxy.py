"""A TCP proxy on loopback that can lose its network: connections stay open, nothing passes, until it heals."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

HOST = "127.0.0.1"
CHUNK = 65_536
CALL_LIMIT_S = 10.0


class Proxy:
    """`with Proxy(port) as proxy:` connect to ``proxy.port``; it runs in a thread of its own.

    While it is ``cut()`` both sides believe in their connections, as when a cable was pulled, and new ones get no
    answer. ``heal()`` lets pass what was held back, late; ``sever()`` ends all connections.
    """

    def __init__(self, port: int) -> None:
        self._behind = port
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._passes = asyncio.Event()
        self._passes.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._open()).result(CALL_LIMIT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._call(self._close()).result(CALL_LIMIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_LIMIT_S)
        self._loop.close()

    def cut(self) -> None:
        """Nothing passes any more, in either direction."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def heal(self) -> None:
        """What was held back arrives now, and all goes on."""
        self._loop.call_soon_threadsafe(self._passes.set)

    def sever(self) -> None:
        """End every connection; what was held back is lost."""
        self._call(self._end_links()).result(CALL_LIMIT_S)

    def _call[T](self, job: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(job, self._loop)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._end_links()

    async def _end_links(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        writers = [to_client]
        try:
            await self._passes.wait()
            server, to_server = await asyncio.open_connection(HOST, self._behind)
            writers.append(to_server)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(client, to_server))
                both.create_task(self._pass_on(server, to_client))
        except* OSError:
            pass  # one side is gone: the other is ended below, and sees that
        finally:
            self._links.discard(link)
            for writer in writers:
                writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one side ends. Its end is held back too while nothing passes."""
        while data := await reader.read(CHUNK):
            await self._passes.wait()
            writer.write(data)
            await writer.drain()
        await self._passes.wait()
        raise ConnectionResetError
