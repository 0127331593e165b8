"""A move of any size: what it tells of itself, what an operator may ask of it, how it is taken back."""

import django.db.models.deletion
import forum_backend.domain.moves
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('directory', '0001_initial'),
        ('moves', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='move',
            name='one_move_per_forum',
        ),
        migrations.AddField(
            model_name='move',
            name='has_leftovers',
            field=models.BooleanField(default=False, help_text='ABORTED, and rows of it are on the target still.'),
        ),
        migrations.AddField(
            model_name='move',
            name='is_cancelled',
            field=models.BooleanField(default=False, help_text='To be given up before its fence.'),
        ),
        migrations.AddField(
            model_name='move',
            name='lag',
            field=models.BigIntegerField(default=0, help_text='Log entries that wait to be caught up with.'),
        ),
        migrations.AddField(
            model_name='move',
            name='pause_at',
            field=models.CharField(blank=True, help_text='The state in which to wait for `resume`.', max_length=12),
        ),
        migrations.AddField(
            model_name='move',
            name='predicted_window_ms',
            field=models.FloatField(null=True),
        ),
        migrations.AddField(
            model_name='move',
            name='reason',
            field=models.CharField(blank=True, help_text='Why the planner wanted it.', max_length=300),
        ),
        migrations.AddField(
            model_name='move',
            name='reversible_until',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='move',
            name='rolls_back',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='rolled_back_by', to='moves.move'),
        ),
        migrations.AddField(
            model_name='move',
            name='rows_per_s',
            field=models.FloatField(help_text='Of the copy, as measured last.', null=True),
        ),
        migrations.AddField(
            model_name='move',
            name='throttled_by',
            field=models.CharField(blank=True, help_text='Why the copy is slow now; empty: it is not.', max_length=200),
        ),
        migrations.AddField(
            model_name='move',
            name='verdict',
            field=models.JSONField(help_text='What was verified: rows, hash of the content, repairs.', null=True),
        ),
        migrations.AlterField(
            model_name='move',
            name='state',
            field=models.CharField(choices=[(forum_backend.domain.moves.MoveState['PLANNED'], forum_backend.domain.moves.MoveState['PLANNED']), (forum_backend.domain.moves.MoveState['PREPARED'], forum_backend.domain.moves.MoveState['PREPARED']), (forum_backend.domain.moves.MoveState['ARMED'], forum_backend.domain.moves.MoveState['ARMED']), (forum_backend.domain.moves.MoveState['COPYING'], forum_backend.domain.moves.MoveState['COPYING']), (forum_backend.domain.moves.MoveState['CATCHING_UP'], forum_backend.domain.moves.MoveState['CATCHING_UP']), (forum_backend.domain.moves.MoveState['VERIFIED'], forum_backend.domain.moves.MoveState['VERIFIED']), (forum_backend.domain.moves.MoveState['READY'], forum_backend.domain.moves.MoveState['READY']), (forum_backend.domain.moves.MoveState['FENCED'], forum_backend.domain.moves.MoveState['FENCED']), (forum_backend.domain.moves.MoveState['ACTIVATED'], forum_backend.domain.moves.MoveState['ACTIVATED']), (forum_backend.domain.moves.MoveState['DEPARTED'], forum_backend.domain.moves.MoveState['DEPARTED']), (forum_backend.domain.moves.MoveState['REVERSIBLE'], forum_backend.domain.moves.MoveState['REVERSIBLE']), (forum_backend.domain.moves.MoveState['CLEANED'], forum_backend.domain.moves.MoveState['CLEANED']), (forum_backend.domain.moves.MoveState['ABORTED'], forum_backend.domain.moves.MoveState['ABORTED'])], default=forum_backend.domain.moves.MoveState['PLANNED'], max_length=12),
        ),
        migrations.AddConstraint(
            model_name='move',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', [forum_backend.domain.moves.MoveState['ACTIVATED'], forum_backend.domain.moves.MoveState['ARMED'], forum_backend.domain.moves.MoveState['CATCHING_UP'], forum_backend.domain.moves.MoveState['COPYING'], forum_backend.domain.moves.MoveState['FENCED'], forum_backend.domain.moves.MoveState['PLANNED'], forum_backend.domain.moves.MoveState['PREPARED'], forum_backend.domain.moves.MoveState['READY'], forum_backend.domain.moves.MoveState['VERIFIED']])), fields=('forum',), name='one_move_per_forum'),
        ),
    ]
