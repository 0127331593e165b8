"""Writers wait at a gate in one round trip; the relay does not pass a closed one."""

from django.db import migrations

from forum_backend.data.shard.sql import load


class Migration(migrations.Migration):

    dependencies = [
        ('forums', '0009_copy_streams'),
    ]

    operations = [load("gate.sql")]
