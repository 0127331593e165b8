"""`manage.py shards list`: the fleet and what each shard holds."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from forum_backend.queries.shards import shard_states

MEGABYTE = 1024 * 1024


class Command(BaseCommand):
    help = "Show the shards."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = actions.add_parser("list", help="all shards with the load measured last")
        listing.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        states = shard_states()
        if options["json"]:
            self.stdout.write(json.dumps(states))
            return
        row = "{name:<12} {state:<9} {forums_count:>8} {rows_count:>12} {size:>9}"
        self.stdout.write(row.format(name="SHARD", state="STATE", forums_count="FORUMS", rows_count="ROWS", size="MB"))
        for state in states:
            self.stdout.write(row.format(**state, size=f"{state['bytes'] / MEGABYTE:.1f}"))
