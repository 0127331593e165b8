"""Posts count their versions."""

from django.db import migrations, models

from forum_backend.data.shard.sql import load


class Migration(migrations.Migration):
    dependencies = [("forums", "0002_fence")]

    operations = [
        migrations.AddField(
            model_name="post",
            name="version",
            field=models.IntegerField(db_default=0, editable=False, help_text="Counts updates; kept by the shard."),
        ),
        load("post_version.sql"),
    ]
