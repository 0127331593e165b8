"""The primary key of every row below a forum: a routed id, given by the shard's guard trigger."""

from typing import TYPE_CHECKING

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    BigAutoField = models.BigAutoField[int, int]
else:
    BigAutoField = models.BigAutoField


class RoutedIdField(BigAutoField):
    """A 64-bit key left out of an INSERT; the guard trigger makes it from the shard's sequence and the forum."""

    def db_type_suffix(self, connection: BaseDatabaseWrapper) -> str:
        return ""  # no identity: the default is the trigger's work

    def deconstruct(self) -> tuple[str, str, list[object], dict[str, object]]:
        name, _path, args, kwargs = super().deconstruct()
        return name, "forum_backend.data.shard.fields.RoutedIdField", list(args), dict(kwargs)
