"""The Django app of this package."""

from django.apps import AppConfig


class DirectoryConfig(AppConfig):
    name = "forum_backend.data.control.directory"
    label = "directory"
