"""The relay process: one thread a shard, the consumers, and a main loop that watches over them."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from django.db import DatabaseError, InterfaceError, connections

from forum_backend.services.waking import ACCOUNTS
from routers.registry import registry
from workers.relay.accounts import AccountsConsumer
from workers.relay.consumer_loop import ConsumerLoop
from workers.relay.consumers import Consumer
from workers.relay.lease import holder_name
from workers.relay.profile_counters import ProfileCounters
from workers.relay.shard_relay import ShardRelay
from workers.relay.supervision import Kept
from workers.relay.wake_calls import WakeCalls

logger = logging.getLogger(__name__)

WATCH_S = 0.25
REGISTRY_S = 5.0
STOP_S = 0.8


class RelayProcess:
    """Everything that runs between ``start`` and ``stop``; ``watch`` keeps it running."""

    def __init__(self, *, consumers: bool) -> None:
        self._stop = threading.Event()
        self._holder = holder_name()
        self._bells: dict[str, threading.Event] = {}
        self._kept: list[Kept] = []
        self._look_again_at = 0.0
        self._keep("wake-calls", WakeCalls(bells=self._bells, stop=self._stop).run)
        if consumers:
            self._add_consumers()

    def _keep(self, name: str, work: Callable[[], None]) -> None:
        self._kept.append(Kept(name, work, stop=self._stop))

    def _add_consumers(self) -> None:
        accounts = AccountsConsumer(stop=self._stop)
        self._bells[ACCOUNTS] = accounts.bell
        self._keep("accounts", accounts.run)
        for consumer in (ProfileCounters(),):
            self._keep(consumer.name, partial(self._consume, consumer))

    def _consume(self, consumer: Consumer) -> None:
        ConsumerLoop(consumer, stop=self._stop).run()

    def watch(self) -> None:
        """One look: new shards get a relay, dead threads a new life."""
        if time.monotonic() >= self._look_again_at:
            self._look_again_at = time.monotonic() + REGISTRY_S
            self._look_for_shards()
        for kept in self._kept:
            kept.check()

    def _look_for_shards(self) -> None:
        try:
            registry.refresh()
        except (DatabaseError, InterfaceError) as error:
            connections["default"].close()
            logger.warning(
                "The shard registry was not read; known shards are relayed",
                extra={"action": "relay", "error": type(error).__name__},
            )
        for shard in registry.aliases():
            if shard not in self._bells:
                relay = ShardRelay(shard, holder=self._holder, stop=self._stop)
                self._bells[shard] = relay.bell
                self._keep(f"relay-{shard}", relay.run)

    def stop(self) -> None:
        """Ask all threads to end and wait a moment; one that hangs ends with the process."""
        self._stop.set()
        for bell in list(self._bells.values()):
            bell.set()
        deadline = time.monotonic() + STOP_S
        late = [kept.name for kept in self._kept if not kept.join(deadline)]
        if late:
            logger.warning("Threads did not end in time", extra={"action": "relay", "threads": late})


def run(*, wait: Callable[[float], bool], consumers: bool = True) -> None:
    """Relay until ``wait(seconds)`` tells that somebody asked to stop."""
    process = RelayProcess(consumers=consumers)
    try:
        process.watch()
        while not wait(WATCH_S):
            process.watch()
    finally:
        process.stop()
