"""A promoted standby takes no writes until its ownership was compared with the other shards'."""

from django.db import migrations, models

from forum_backend.data.shard.sql import load


class Migration(migrations.Migration):

    dependencies = [
        ('forums', '0006_constraints_said_once'),
    ]

    operations = [
        migrations.CreateModel(
            name='ShardServer',
            fields=[
                ('id', models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('timeline', models.CharField(max_length=8)),
                ('reconciled_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'shard_server',
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='shard_server_is_one')],
            },
        ),
        load("failover.sql"),
    ]
