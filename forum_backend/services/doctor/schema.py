"""The tables of a shard as its server describes them: compared between shards, and with what moves need."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import psycopg
from django.apps import apps
from django.db.migrations.loader import MigrationLoader

from forum_backend.domain.findings import Finding, Severity
from forum_backend.services.forum_rows import FORUM_TABLES

APPLICATION = "forums"
NAMED = 5  # objects in one sentence
# Of each table of forums: they keep writers behind the fence and log what changes.
TRIGGERS = frozenset({"a_forum_guard", "a_forum_guard_of_inserts", "forum_capture", "forum_no_truncate"})
SEVERITY = {
    "column": Severity.STOPS,
    "constraint": Severity.STOPS,
    "unique index": Severity.STOPS,
    "function": Severity.STOPS,
    "trigger": Severity.STOPS,
    "migration": Severity.STOPS,
    "index": Severity.SLOWS,
}
PLURAL = {"index": "indexes", "unique index": "unique indexes"}

# Functions are compared by their source: the server's own rendering of them differs between versions.
_OBJECTS = """
WITH t AS (
    SELECT oid, relname FROM pg_class WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid) AND relname = ANY(%(t)s)
)
SELECT 'column', t.relname || '.' || a.attname,
       format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
       || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') || CASE WHEN a.attidentity <> '' THEN
          ' identity' ELSE '' END
FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL
SELECT 'constraint', t.relname || '.' || c.conname, pg_get_constraintdef(c.oid)
FROM t JOIN pg_constraint c ON c.conrelid = t.oid AND c.contype IN ('c', 'f', 'p', 'u', 'x')
UNION ALL
SELECT CASE WHEN i.indisunique THEN 'unique index' ELSE 'index' END, t.relname || '.' || x.relname,
       pg_get_indexdef(x.oid) || CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END
FROM t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class x ON x.oid = i.indexrelid
WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = x.oid AND c.contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 'trigger', t.relname || '.' || g.tgname, g.tgenabled::text || ' ' || pg_get_triggerdef(g.oid)
FROM t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
UNION ALL
SELECT 'function', p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
       md5(concat_ws(' ', p.prosrc, p.provolatile, p.prosecdef, l.lanname, pg_get_function_result(p.oid), p.proconfig))
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = current_schema()::regnamespace AND p.prokind = 'f'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
UNION ALL
SELECT 'migration', name, 'applied' FROM django_migrations WHERE app = %(app)s
"""
# A column names the forum if it is the forum, a routed id, or refers to one; "routed" is what the CHECK says.
_LOOSE_KEYS = """
WITH routed AS (SELECT conrelid AS oid FROM pg_constraint WHERE contype = 'c' AND conname LIKE '%%\\_id\\_routes')
SELECT t.relname, x.relname
FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indisunique AND t.relname = ANY(%(t)s) AND pg_table_is_visible(t.oid) AND NOT EXISTS (
    SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1])
    AND (a.attname = 'forum_id' OR (a.attname = 'id' AND t.oid IN (SELECT oid FROM routed))
         OR EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conrelid = t.oid
                    AND f.conkey = ARRAY[a.attnum] AND f.confrelid IN (SELECT oid FROM routed))))
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Schema:
    """``objects``: definitions by kind and name. ``loose_keys``: table and name of unique keys without a forum."""

    objects: Mapping[tuple[str, str], str]
    loose_keys: tuple[tuple[str, str], ...]


def read_schema(connection: psycopg.Connection) -> Schema:
    """What a shard's server says of the sharded tables."""
    tables = [model._meta.db_table for model in apps.get_app_config(APPLICATION).get_models()]
    objects = {
        (kind, name): definition
        for kind, name, definition in connection.execute(_OBJECTS, {"t": tables, "app": APPLICATION})
    }
    moved = [table.name for table in FORUM_TABLES]
    return Schema(objects, tuple(connection.execute(_LOOSE_KEYS, {"t": moved}).fetchall()))


@cache
def known_migrations() -> frozenset[str]:
    """The names of this code's migrations of the sharded tables."""
    name, _ = MigrationLoader.migrations_module(APPLICATION)
    return frozenset(module.name for module in iter_modules(import_module(str(name)).__path__))


def lacking(schema: Schema) -> frozenset[str]:
    """Migrations that a shard has not had."""
    return known_migrations() - {name for kind, name in schema.objects if kind == "migration"}


def missing_migrations(shard: str, schema: Schema) -> Iterator[Finding]:
    """Migrations of the code that the shard has not had, and those it has had that the code does not know."""
    missing = lacking(schema)
    unknown = {name for kind, name in schema.objects if kind == "migration"} - known_migrations()
    if missing:
        yield Finding(
            code="migrations_missing", severity=Severity.STOPS, shard=shard,
            found=f"The shard lacks {listed(missing)}", advice="manage.py migrate_all",
        )  # fmt: skip
    if unknown:
        yield Finding(
            code="migrations_unknown", severity=Severity.STOPS, shard=shard,
            found=f"The shard is ahead of this code: {listed(unknown)}", advice="Run the newer code here",
        )  # fmt: skip


def unguarded(shard: str, schema: Schema) -> Iterator[Finding]:
    """Tables without the triggers that keep writers behind the fence and log what changes."""
    wanted = {f"{table.name}.{trigger}" for table in FORUM_TABLES for trigger in TRIGGERS} | {
        "ownership.ownership_guard"
    }
    found = {name: definition for (kind, name), definition in schema.objects.items() if kind == "trigger"}
    missing = wanted - found.keys()
    disabled = {name for name in wanted & found.keys() if found[name][0] not in "OA"}
    if missing:
        yield Finding(
            code="triggers_missing", severity=Severity.STOPS, shard=shard, found=f"Not there: {listed(missing)}",
            advice="Create them as data/shard/sql does; rows may have been written past the fence: moves verify",
        )  # fmt: skip
    if disabled:
        yield Finding(
            code="triggers_disabled", severity=Severity.STOPS, shard=shard, found=f"Switched off: {listed(disabled)}",
            advice="ALTER TABLE … ENABLE TRIGGER …; rows may have been written past the fence: moves verify",
        )  # fmt: skip


def loose_keys(shard: str, schema: Schema) -> Iterator[Finding]:
    """Unique keys that hold over forums: a forum that moves may meet another one's row there."""
    for table, name in schema.loose_keys:
        yield Finding(
            code="unique_without_forum", severity=Severity.STOPS, shard=shard,
            found=f"The unique key {name} of {table} contains neither the forum nor a routed id",
            advice="Drop it, or put forum_id into it",
        )  # fmt: skip


def differences(schemas: Mapping[str, Schema], *, like: str | None = None) -> Iterator[Finding]:
    """Where shards differ from ``like``, or from what most of them have (of two that differ, from the first)."""
    names = sorted({name for schema in schemas.values() for name in schema.objects if name[0] != "migration"})
    odd: dict[tuple[str, str], list[str]] = {}
    for kind, name in names:
        definitions = {shard: schema.objects.get((kind, name)) for shard, schema in schemas.items()}
        if kind == "trigger" and _is_reported_as_unguarded(name, definitions):
            continue
        usual = definitions[like] if like else Counter(definitions.values()).most_common(1)[0][0]
        for shard, definition in definitions.items():
            if definition != usual:
                said = f"{name} ({_said(kind, definition)}, not {_said(kind, usual)})"
                odd.setdefault((shard, kind), []).append(said)
    for (shard, kind), differing in odd.items():
        other = like or "the other shards"
        yield Finding(
            code="schema_differs", severity=SEVERITY[kind], shard=shard,
            found=f"{PLURAL.get(kind, kind + 's').capitalize()} are not as on {other}: {listed(differing)}",
            advice="manage.py migrate_all; undo what was changed by hand",
        )  # fmt: skip


def listed(names: Collection[str]) -> str:
    """Some names of many."""
    shown = sorted(names)[:NAMED]
    return ", ".join(shown) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _is_reported_as_unguarded(name: str, definitions: Mapping[str, str | None]) -> bool:
    is_wanted = name.partition(".")[2] in TRIGGERS | {"ownership_guard"}
    return is_wanted and any(definition is None or definition[0] not in "OA" for definition in definitions.values())


def _said(kind: str, definition: str | None) -> str:
    if definition is None:
        return "missing"
    return "another body" if kind == "function" else definition
