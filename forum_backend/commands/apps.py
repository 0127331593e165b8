"""The Django app of the management commands."""

from django.apps import AppConfig


class CommandsConfig(AppConfig):
    name = "forum_backend.commands"
    label = "commands"
