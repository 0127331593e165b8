"""Copies give way earlier, and know in their next task how far."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [('moves', '0003_limits')]

    operations = [
        migrations.AddField(
            model_name='move',
            name='pressure',
            field=models.FloatField(null=True, help_text='How far copying gives way: 0 not at all, 1 as far as it can.'),
        ),
        migrations.AlterField(
            model_name='movelimits',
            name='slow_factor',
            field=models.FloatField(default=1.25, help_text='A write is slow that takes so many times what it did.'),
        ),
        migrations.AlterField(
            model_name='movelimits',
            name='slow_ms',
            field=models.FloatField(default=1.0, help_text='And so many milliseconds longer.'),
        ),
    ]
