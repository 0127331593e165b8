"""A post and a vote are of a forum by what they belong to: a second constraint that says so cost each copied row."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('forums', '0005_large_moves'),
    ]

    operations = [
        migrations.AlterField(
            model_name='post',
            name='forum',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='posts', to='forums.forum'),
        ),
        migrations.AlterField(
            model_name='vote',
            name='forum',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='votes', to='forums.forum'),
        ),
    ]
