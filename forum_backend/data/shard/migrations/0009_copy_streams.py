"""Two streams of one mover fill an incoming forum at the same time."""

from django.db import migrations

from forum_backend.data.shard.sql import load


class Migration(migrations.Migration):

    dependencies = [
        ('forums', '0008_copy_ends'),
    ]

    operations = [load("copy_streams.sql")]
