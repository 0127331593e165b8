"""The Django app of this package."""

from django.apps import AppConfig


class ProfilesConfig(AppConfig):
    name = "forum_backend.data.profiles"
    label = "profiles"
