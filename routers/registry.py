"""The shards this process knows. Starts with those of the environment; learns new ones from the control database."""

import os
import threading
from collections.abc import Iterable

from django.conf import settings
from django.db import connections
from psycopg.conninfo import make_conninfo

from forum_backend.domain.errors import UnknownShard
from routers.addresses import connection_parameters, database_settings


class ShardRegistry:
    """Aliases of shards, in a fixed order, each with an entry in Django's ``connections``. Threads may share it."""

    def __init__(self) -> None:
        self._aliases: list[str] = []
        self._lock = threading.Lock()

    def aliases(self) -> list[str]:
        """All shards known here, by name."""
        if not self._aliases:
            self.add(settings.SHARD_ADDRESSES)
        return list(self._aliases)

    def add(self, addresses: dict[str, str]) -> None:
        """Make shards usable in this process; an address without a password takes ``SHARD_PASSWORD``."""
        with self._lock:
            known = set(self._aliases)
            for alias, address in addresses.items():
                if alias not in connections.databases:
                    connections.databases[alias] = database_settings(
                        _with_password(address), statement_timeout_ms=settings.STATEMENT_TIMEOUT_MS
                    )
                known.add(alias)
            self._aliases = sorted(known)

    def drop(self, aliases: Iterable[str]) -> None:
        """Use shards no more. A connection that a thread still has ends with the thread."""
        with self._lock:
            self._aliases = sorted(set(self._aliases).difference(aliases))

    def refresh(self) -> list[str]:
        """Read the control database's registry (I/O) and return the aliases that are new here."""
        from forum_backend.data.control.directory.models import Shard

        before = set(self.aliases())
        rows = list(Shard.objects.values_list("name", "dsn", "state")[:10_000])
        self.add({name: dsn for name, dsn, state in rows if state != Shard.State.REMOVED})
        self.drop(name for name, _, state in rows if state == Shard.State.REMOVED)
        return [alias for alias in self._aliases if alias not in before]

    def require(self, alias: str) -> str:
        """The alias if it is a shard known here, else ``UnknownShard``."""
        if alias not in self.aliases():
            raise UnknownShard(f"The registry has no shard {alias!r}; it has {', '.join(self._aliases) or 'none'}")
        return alias

    def ensure(self, alias: str) -> str:
        """As ``require``, after one look into the control database for an alias not known yet (I/O)."""
        if alias not in self.aliases():
            self.refresh()
        return self.require(alias)

    def __contains__(self, alias: object) -> bool:
        return alias in self.aliases()


def conninfo_of(alias: str) -> str:
    """The libpq connection string of an alias, for connections that are not Django's."""
    database = connections.databases[alias]
    options = {key: value for key, value in database["OPTIONS"].items() if isinstance(value, (str, int))}
    named = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    values = {name: database[key] for name, key in named.items() if database[key]}
    return make_conninfo("", **values, **options)


def _with_password(address: str) -> str:
    parameters = connection_parameters(address)
    password = os.environ.get("SHARD_PASSWORD", "")
    if password and "password" not in parameters:
        parameters["password"] = password
    return make_conninfo("", **parameters)


registry = ShardRegistry()
