"""The write fence, the guards and the capture: functions and triggers, from ../sql."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


def load(name: str) -> migrations.RunSQL:
    # Passed as one statement with no parameters: the files hold semicolons and percent signs of plpgsql.
    return migrations.RunSQL([((SQL / name).read_text(), None)], reverse_sql=migrations.RunSQL.noop)


class Migration(migrations.Migration):
    dependencies = [("forums", "0001_initial")]

    operations = [load("fence.sql"), load("triggers.sql")]
