"""System checks: an application without a home, or a sharded table that could not be moved, stops the start."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.db.models import AutoField, ForeignKey, Model, UniqueConstraint

from routers.application import SHARDS, home_of

# Sharded tables without a forum, each with its reason.
NOT_OF_A_FORUM = {
    "forums.RelayLease": "one row a shard: which relay works here",
    "forums.ShardServer": "one row a shard: the server it was reconciled on",
}
# Unique keys without the forum in them, each with its reason.
KEYS_OF_THEIR_OWN = {
    "forums.ChangedRow": "a log of this shard that no move takes along",
    "forums.CopyProgress": "a mover's notes on this shard that no move takes along",
}


@register
def check_homes(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Every application with tables has a database that is configured."""
    messages: list[CheckMessage] = []
    for app in apps.get_app_configs():
        if not any(True for _ in app.get_models()):
            continue
        home = home_of(app.label)
        if home is None:
            messages.append(Error(f"{app.label} has no entry in APPLICATION_DATABASES", id="routers.E001"))
        elif home != SHARDS and home not in settings.DATABASES:
            messages.append(Error(f"{app.label} lives in {home!r}, which DATABASES lacks", id="routers.E002"))
    return messages


@register
def check_references(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """No constraint crosses databases."""
    return [
        Error(f"{model._meta.label}.{field.name} crosses databases and has a constraint", id="routers.E003")
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, ForeignKey)
        and getattr(field, "db_constraint", True)
        and isinstance(field.related_model, type)
        and home_of(model._meta.app_label) != home_of(field.related_model._meta.app_label)
    ]


@register
def check_sharded_tables(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Every sharded table carries its forum, and every unique key of it the forum or a routed id."""
    messages: list[CheckMessage] = []
    for model in apps.get_models():
        if home_of(model._meta.app_label) != SHARDS or model._meta.label in NOT_OF_A_FORUM:
            continue
        columns = {field.column for field in model._meta.local_fields}
        if "forum_id" not in columns:
            messages.append(Error(f"{model._meta.label} has no forum_id", id="routers.E004"))
        messages += [
            Error(f"{model._meta.label}: unique {names} holds neither forum nor routed id", id="routers.E005")
            for names in _unique_keys(model)
            if model._meta.label not in KEYS_OF_THEIR_OWN and not _names_a_forum(model, names)
        ]
    return messages


def _unique_keys(model: type[Model]) -> Iterator[tuple[str, ...]]:
    yield from ((field.name,) for field in model._meta.local_fields if field.unique)
    yield from (tuple(c.fields) for c in model._meta.constraints if isinstance(c, UniqueConstraint))


def _names_a_forum(model: type[Model], names: tuple[str, ...]) -> bool:
    from forum_backend.data.shard.fields import RoutedIdField

    for name in names:
        field = model._meta.get_field(name)
        target = getattr(field, "target_field", field)
        if getattr(field, "column", "") == "forum_id" or isinstance(target, RoutedIdField):
            return True
        if field.name == "id" and not isinstance(field, AutoField):
            return True  # a key made by hand: its CHECK holds it to the forum
    return False
