"""The Django app of the routers: registers the system checks."""

from django.apps import AppConfig


class RoutersConfig(AppConfig):
    name = "routers"
    label = "routers"

    def ready(self) -> None:
        from routers import checks  # noqa: F401  (registers the checks)
