"""`manage.py migrate_all`: all databases at once, and which of them is behind."""

import dataclasses
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from forum_backend.commands.sentences import in_sentences
from forum_backend.services.schema import SchemaState, migrate_everything, schema_states


class Command(BaseCommand):
    help = "Migrate the control database, the profiles and every shard; say which one is behind."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Only look; exit with 1 if a database is behind.")
        parser.add_argument("--json", action="store_true", help="Print the state of each database as JSON.")

    @in_sentences()
    def handle(self, *args: Any, **options: Any) -> None:
        def progress(state: SchemaState) -> None:
            if not options["json"]:
                self.stdout.write(describe(state))

        if options["check"]:
            states = schema_states()
            for state in states:
                progress(state)
        else:
            states = migrate_everything(progress)
        if options["json"]:
            self.stdout.write(json.dumps([dataclasses.asdict(state) for state in states]))
        behind = [state.alias for state in states if not state.is_current]
        if behind:
            raise CommandError(f"Behind: {', '.join(behind)}", returncode=1)


def describe(state: SchemaState) -> str:
    """One line for people about one database."""
    if state.error:
        return f"{state.alias}: behind ({state.error})"
    return f"{state.alias}: " + (f"behind by {', '.join(state.missing)}" if state.missing else "up to date")
