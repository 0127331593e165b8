"""`manage.py relay`: number, project and publish what happened on all shards, until told to stop."""

from argparse import BooleanOptionalAction
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.module_loading import import_string

from forum_backend.commands.stopping import StopRequests

# Named, not imported: the worker stands above the commands, and imports only go down.
RELAY = "workers.relay.process.run"


class Command(BaseCommand):
    help = "Relay the events of all shards: give them numbers, publish them, apply them. Ctrl-C or SIGTERM stops it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--consumers",
            action=BooleanOptionalAction,
            default=True,
            help="also keep profiles and their counters (default: yes)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with StopRequests() as stopping:
            run = import_string(RELAY)
            self.stdout.write("The relay runs.")
            self.stdout.flush()
            run(wait=lambda seconds: stopping.wait(seconds=seconds), consumers=options["consumers"])
