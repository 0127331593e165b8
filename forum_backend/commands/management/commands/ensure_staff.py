"""`manage.py ensure_staff --username admin`: a staff account with the password in STAFF_PASSWORD."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forum_backend.domain.errors import ForumError, Invalid
from forum_backend.services.accounts import ensure_user


class Command(BaseCommand):
    help = "Make sure of a staff account; its password is taken from the environment, STAFF_PASSWORD."
    requires_system_checks = ()  # `up` has just run migrate_all, which makes them all

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", default="admin")

    def handle(self, *args: Any, **options: Any) -> None:
        password = os.environ.get("STAFF_PASSWORD", "")
        if not password:
            raise CommandError("Set STAFF_PASSWORD in the environment")
        try:
            user = ensure_user(username=options["username"], is_staff=True, password=password, now=timezone.now())
        except Invalid as error:
            raise CommandError("; ".join(error.fields.values()) or error.detail) from error
        except ForumError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(f"{user.username} is staff")
