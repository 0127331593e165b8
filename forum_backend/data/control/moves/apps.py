"""The Django app of this package."""

from django.apps import AppConfig


class MovesConfig(AppConfig):
    name = "forum_backend.data.control.moves"
    label = "moves"
