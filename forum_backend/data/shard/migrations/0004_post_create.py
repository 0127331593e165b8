"""The hottest write as one statement."""

from django.db import migrations

from forum_backend.data.shard.sql import load


class Migration(migrations.Migration):
    dependencies = [("forums", "0003_post_version")]

    operations = [load("post_create.sql")]
