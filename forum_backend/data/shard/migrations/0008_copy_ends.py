"""A copy ends at the last key that there was when it began; the log can be asked for the entries of a few rows."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('forums', '0007_failover'),
    ]

    operations = [
        migrations.AddField(
            model_name='copyprogress',
            name='last_key',
            field=models.BigIntegerField(db_default=9223372036854775807),
        ),
        migrations.AddIndex(
            model_name='changedrow',
            index=models.Index(fields=['forum_id', 'table_name', 'row_id'], name='changed_row_of_row'),
        ),
    ]
