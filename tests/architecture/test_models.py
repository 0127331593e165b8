"""Every table has one home, no constraint crosses databases, every sharded table is keyed, guarded and captured."""

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.db import connections
from django.db.models import ForeignKey

from forum_backend.services.doctor.schema import TRIGGERS
from routers.application import SHARDS, home_of
from routers.checks import NOT_OF_A_FORUM
from routers.registry import registry

# Tables with a forum that are neither guarded nor captured, each with its reason.
NOT_GUARDED = {
    "forums.Ownership": "has a guard of its own: changed by forum_set_ownership only",
    "forums.ChangedRow": "written by the capture trigger itself",
    "forums.CopyProgress": "a mover's notes on rows that nobody serves yet",
}
DATABASES = ["default", "profiles", "shard_00", "shard_01", "shard_02"]


def tables(alias: str) -> set[str]:
    with connections[alias].cursor() as cursor:
        return set(connections[alias].introspection.table_names(cursor)) - {"django_migrations"}


def sharded_models() -> list[type]:
    return [model for model in apps.get_models() if home_of(model._meta.app_label) == SHARDS]


def test_the_system_checks_pass() -> None:
    assert run_checks() == []


@pytest.mark.parametrize("alias", DATABASES)
def test_every_table_has_one_home(alias: str) -> None:
    home = SHARDS if alias in registry else alias
    expected = {model._meta.db_table for model in apps.get_models() if home_of(model._meta.app_label) == home}
    automatic = {
        field.m2m_db_table()
        for model in apps.get_models()
        if home_of(model._meta.app_label) == home
        for field in model._meta.local_many_to_many
    }
    assert tables(alias) == expected | automatic


def test_no_constraint_crosses_databases() -> None:
    for model in apps.get_models():
        for field in model._meta.local_fields:
            if isinstance(field, ForeignKey) and field.db_constraint:
                assert home_of(model._meta.app_label) == home_of(field.related_model._meta.app_label), field


@pytest.mark.parametrize("alias", [alias for alias in DATABASES if alias.startswith("shard")])
def test_every_sharded_table_is_guarded_and_captured(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, array_agg(t.tgname) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE NOT t.tgisinternal AND t.tgenabled = 'O' GROUP BY 1"
        )
        triggers = {table: set(names) for table, names in cursor.fetchall()}
    exempt = {**NOT_OF_A_FORUM, **NOT_GUARDED}
    for model in sharded_models():
        if model._meta.label not in exempt:
            assert triggers[model._meta.db_table] >= TRIGGERS, model
    assert set(exempt) <= {model._meta.label for model in sharded_models()}, "an exemption is not used any more"


@pytest.mark.parametrize("alias", [alias for alias in DATABASES if alias.startswith("shard")])
def test_every_sharded_table_has_an_index_on_its_forum(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] WHERE a.attname = 'forum_id'"
        )
        indexed = {table for (table,) in cursor.fetchall()}
    for model in sharded_models():
        if model._meta.label not in NOT_OF_A_FORUM:
            assert model._meta.db_table in indexed, model
