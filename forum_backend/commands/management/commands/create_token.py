"""`manage.py create_token USERNAME`: a bearer token for scripts, and the user if there is none yet."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from forum_backend.commands.sentences import in_sentences
from forum_backend.services.accounts import create_token, ensure_user


class Command(BaseCommand):
    help = "Make the user if needed and print a new token: only the token, on standard output."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--staff", action="store_true", help="The user becomes staff.")

    @in_sentences()
    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        user = ensure_user(username=options["username"], is_staff=options["staff"], now=now)
        self.stdout.write(create_token(user=user, now=now))
