"""The Django app of this package."""

from django.apps import AppConfig


class ShardConfig(AppConfig):
    name = "forum_backend.data.shard"
    label = "forums"
