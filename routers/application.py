"""The ApplicationRouter: whole applications in databases of their own, answered from one table in the settings."""

from typing import Any

from django.conf import settings
from django.db.models import Model

SHARDS = "shards"


def home_of(app_label: str) -> str | None:
    """The alias of an application's database, ``"shards"`` for the sharded one, None for one nobody declared."""
    home: str | None = settings.APPLICATION_DATABASES.get(app_label)
    return home


class ApplicationRouter:
    """Routes every application but the sharded one; an undeclared one is a start-up error (``routers.E001``)."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        home = home_of(model._meta.app_label)
        return None if home == SHARDS else home

    db_for_write = db_for_read

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool:
        """References between databases are columns without a constraint, so any two rows may be related."""
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        home = home_of(app_label)
        return None if home == SHARDS else db == home
