"""The pages as a Django application: templates, static files, no tables."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "forum_backend.web"
    label = "web"
