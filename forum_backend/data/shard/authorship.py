"""Who wrote a thread or a post: an account, or a name that came with an import."""

from django.conf import settings
from django.db import models


class Authored(models.Model):
    """Columns of rows with an author. The account lives in another database: no constraint, no cascade."""

    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, null=True, related_name="+"
    )
    guest_name = models.CharField(max_length=200, blank=True, help_text="The author's name in an imported export.")
    guest_username = models.CharField(max_length=200, blank=True, help_text="Empty for anonymous authors.")
    created_at = models.DateTimeField()
    dsq_id = models.BigIntegerField(null=True, help_text="dsq:id of the export it came from.")

    class Meta:
        abstract = True
