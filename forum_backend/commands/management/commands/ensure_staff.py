"""`manage.py ensure_staff --username admin`: a staff account with the password in STAFF_PASSWORD."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forum_backend.commands.sentences import in_sentences
from forum_backend.services.accounts import ensure_user


class Command(BaseCommand):
    help = "Make sure of a staff account; its password is taken from the environment, STAFF_PASSWORD."
    requires_system_checks = ()  # `up` has just run migrate_all, which makes them all

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", default="admin")

    @in_sentences()
    def handle(self, *args: Any, **options: Any) -> None:
        password = os.environ.get("STAFF_PASSWORD", "")
        if not password:
            raise CommandError("Set STAFF_PASSWORD in the environment")
        user = ensure_user(username=options["username"], is_staff=True, password=password, now=timezone.now())
        self.stdout.write(f"{user.username} is staff")
