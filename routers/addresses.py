"""Database addresses: from a URL in the environment to Django's settings, without touching a server."""

import re
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

ALIAS = re.compile(r"^shard_[0-9]{2,4}$")
CONNECT_TIMEOUT_S = 3
# How long a server's machine may leave bytes unacknowledged: one that lost its power says nothing.
SILENCE_MS = 5_000
# The same for an answer that is waited for: all that was sent had arrived, and only a probe finds that nobody is there.
PROBES = {"keepalives_idle": 3, "keepalives_interval": 1, "keepalives_count": 3}


def shard_addresses(text: str) -> dict[str, str]:
    """``shard_00=postgresql://…,shard_01=postgresql://…`` as a dict; ``ImproperlyConfigured`` names the bad entry."""
    addresses: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in re.split(r"[,\s]+(?=shard_)", text.strip(" ,\n")))):
        alias, _, address = entry.partition("=")
        if not ALIAS.match(alias) or not address or alias in addresses:
            raise ImproperlyConfigured(
                f"SHARDS: expected shard_00=postgresql://…,shard_01=postgresql://… with each name once, not {alias!r}"
            )
        addresses[alias] = address
    return addresses


def connection_parameters(address: str) -> dict[str, str]:
    """libpq's parameters of an address; ``ImproperlyConfigured`` (without the address, it holds a password)."""
    try:
        return {key: str(value) for key, value in conninfo_to_dict(address).items() if value is not None}
    except ProgrammingError as error:
        raise ImproperlyConfigured("A database address is not a valid postgresql:// URL") from error


def without_password(address: str) -> str:
    """The address as the registry keeps it."""
    parameters = connection_parameters(address)
    parameters.pop("password", None)
    return make_conninfo("", **parameters)


def database_settings(address: str, *, statement_timeout_ms: int) -> dict[str, Any]:
    """Django's settings of one database. Connections are kept by their thread, for ever; errors close them."""
    parameters = connection_parameters(address)
    settings = {key: parameters.pop(name, "") for key, name in SETTING_NAMES.items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        **settings,
        "ATOMIC_REQUESTS": False,
        "AUTOCOMMIT": True,
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": False,
        # A cursor that outlives its transaction is lost behind a pooler.
        "DISABLE_SERVER_SIDE_CURSORS": True,
        "TIME_ZONE": None,
        "OPTIONS": {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "tcp_user_timeout": SILENCE_MS,
            **PROBES,
            "application_name": "forum_backend",
            "options": f"-c statement_timeout={statement_timeout_ms}",
            **parameters,
        },
        "TEST": {"CHARSET": None, "COLLATION": None, "MIGRATE": True, "MIRROR": None, "NAME": None},
    }


SETTING_NAMES = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
