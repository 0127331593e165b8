"""What a move waits for, and the limits of copies, which can be changed while they run."""

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):

    dependencies = [('moves', '0002_large_moves')]

    operations = [
        migrations.CreateModel(
            name='MoveLimits',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('rows_per_second', models.IntegerField(help_text='Of one copy; null: as fast as others do not suffer.', null=True)),
                ('slow_factor', models.FloatField(default=1.5, help_text='A write is slow that takes so many times what it did.')),
                ('slow_ms', models.FloatField(default=2.0, help_text='And so many milliseconds longer.')),
                ('lag_s', models.FloatField(default=5.0, help_text='The most that a replica of either shard may be behind.')),
                ('changed_at', models.DateTimeField(db_default=Now())),
            ],
            options={'db_table': 'move_limits'},
        ),
        migrations.AddField(
            model_name='move',
            name='waits_for',
            field=models.CharField(blank=True, help_text='A place to run; empty: it has one.', max_length=200),
        ),
    ]
