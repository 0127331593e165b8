"""The Django app of this package."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "forum_backend.data.control.accounts"
    label = "accounts"
