"""`manage.py create_token USERNAME`: a bearer token for scripts, and the user if there is none yet."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forum_backend.domain.errors import ForumError, Invalid
from forum_backend.services.accounts import create_token, ensure_user


class Command(BaseCommand):
    help = "Make the user if needed and print a new token: only the token, on standard output."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--staff", action="store_true", help="The user becomes staff.")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        try:
            user = ensure_user(username=options["username"], is_staff=options["staff"], now=now)
        except Invalid as error:
            raise CommandError("; ".join(error.fields.values()) or error.detail) from error
        except ForumError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(create_token(user=user, now=now))
