"""The write fence, the guards and the capture: functions and triggers, from ../sql."""

from django.db import migrations

from forum_backend.data.shard.sql import load


class Migration(migrations.Migration):
    dependencies = [("forums", "0001_initial")]

    operations = [load("fence.sql"), load("triggers.sql")]
