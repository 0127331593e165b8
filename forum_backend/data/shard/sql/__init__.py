"""What only the shards can keep to: functions and triggers, loaded by migrations."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent


def load(name: str) -> migrations.RunSQL:
    """One script, passed whole and without parameters: it holds semicolons and percent signs of plpgsql."""
    return migrations.RunSQL([((SQL / name).read_text(), None)], reverse_sql=migrations.RunSQL.noop)
