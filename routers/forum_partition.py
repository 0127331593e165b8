"""The ForumPartitionRouter: the shard of a query on forums, threads or posts, from what the query names.

It does no I/O: managers fill the directory before they ask. It refuses rather than guesses.
"""

from typing import Any

from django.db.models import Model

from forum_backend.domain.errors import ForumNotNamed, InvalidId, StaleInstance
from forum_backend.domain.ids import forum_of
from routers.application import SHARDS, home_of
from routers.directory import directory
from routers.registry import registry


def forum_of_instance(instance: Model) -> int | None:
    """The forum a row belongs to: its ``forum_id``, or the one its own, its thread's or its post's id carries."""
    number = getattr(instance, "forum_id", None)
    if number is not None:
        return int(number)
    for name in ("pk", "thread_id", "post_id", "parent_id"):
        try:
            return forum_of(int(getattr(instance, name, None) or 0))
        except (InvalidId, TypeError, ValueError):
            continue
    return None


class ForumPartitionRouter:
    """Routes the sharded application only; any other gets no answer from here."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        if home_of(model._meta.app_label) != SHARDS:
            return None
        number, instance = _named(hints)
        if number is None:
            raise ForumNotNamed(f"{model.__name__}: {ForumNotNamed.title}")
        location = directory.known(number)
        if location is not None:
            return location.shard
        if instance is not None and instance._state.db in registry:
            return instance._state.db
        raise ForumNotNamed(f"forum {number} is not in the directory's memory; name it with in_forum(…)")

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        alias = self.db_for_read(model, **hints)
        instance = hints.get("instance")
        if alias is None or not isinstance(instance, model) or instance._state.adding:
            return alias
        loaded_from = instance._state.db
        if loaded_from not in (None, alias):
            raise StaleInstance(
                f"{model.__name__} {instance.pk} was loaded from {loaded_from}; it lives on {alias} now"
            )
        return alias

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool | None:
        homes = {home_of(first._meta.app_label), home_of(second._meta.app_label)}
        if homes != {SHARDS}:
            return None
        numbers = {forum_of_instance(first), forum_of_instance(second)} - {None}
        return len(numbers) <= 1

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        sharded = home_of(app_label) == SHARDS
        if db in registry:
            return sharded
        return False if sharded else None


def _named(hints: dict[str, Any]) -> tuple[int | None, Model | None]:
    """The forum that hints name, and the sharded row among them. A hint of ``forum_id`` wins over an instance."""
    instance = hints.get("instance")
    row = instance if isinstance(instance, Model) and home_of(instance._meta.app_label) == SHARDS else None
    number = hints.get("forum_id")
    if number is None and row is not None:
        number = forum_of_instance(row)
    return number, row
