"""Rows copied while people write: what was inserted, how far a mover has come, one index a forum and table."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from forum_backend.data.shard.sql import load


class Migration(migrations.Migration):

    dependencies = [
        ('forums', '0004_post_create'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='CopyProgress',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('forum_id', models.IntegerField()),
                ('table_name', models.CharField(max_length=40)),
                ('copied_to', models.BigIntegerField(default=0)),
                ('is_copied', models.BooleanField(default=False)),
                ('verified_to', models.BigIntegerField(default=0)),
                ('is_verified', models.BooleanField(default=False)),
                ('rows', models.BigIntegerField(default=0)),
                ('content', models.DecimalField(decimal_places=0, default=0, max_digits=40)),
            ],
            options={
                'db_table': 'copy_progress',
            },
        ),
        migrations.AddField(
            model_name='changedrow',
            name='is_insert',
            field=models.BooleanField(db_default=False),
        ),
        migrations.AlterField(
            model_name='changedrow',
            name='forum_id',
            field=models.IntegerField(),
        ),
        migrations.AlterField(
            model_name='forumevent',
            name='forum_id',
            field=models.IntegerField(),
        ),
        migrations.AlterField(
            model_name='idempotencykey',
            name='forum_id',
            field=models.IntegerField(),
        ),
        migrations.AlterField(
            model_name='outboxevent',
            name='forum_id',
            field=models.IntegerField(),
        ),
        migrations.AlterField(
            model_name='vote',
            name='forum',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='votes', to='forums.forum'),
        ),
        migrations.AddIndex(
            model_name='changedrow',
            index=models.Index(models.F('forum_id'), models.F('id'), name='changed_row_forum'),
        ),
        migrations.AddIndex(
            model_name='forumevent',
            index=models.Index(models.F('forum_id'), models.F('id'), name='forum_event_forum'),
        ),
        migrations.AddIndex(
            model_name='idempotencykey',
            index=models.Index(models.F('forum_id'), models.F('id'), name='idempotency_key_forum'),
        ),
        migrations.AddIndex(
            model_name='outboxevent',
            index=models.Index(models.F('forum_id'), models.F('id'), name='outbox_forum'),
        ),
        migrations.AddIndex(
            model_name='vote',
            index=models.Index(models.F('forum'), models.F('id'), name='vote_forum'),
        ),
        migrations.AddConstraint(
            model_name='copyprogress',
            constraint=models.UniqueConstraint(fields=('forum_id', 'table_name'), name='copy_progress_once'),
        ),
        load("large_move.sql"),
    ]
