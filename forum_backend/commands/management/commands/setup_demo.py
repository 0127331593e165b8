"""`manage.py setup_demo`: forums with people and posts in them, to have something to look at."""

import dataclasses
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from forum_backend.commands.sentences import in_sentences
from forum_backend.services.demo import DemoReport, set_up_demo


class Command(BaseCommand):
    help = "Load the demonstration data. A second run adds nothing."
    requires_system_checks = ()  # `up` has just run migrate_all, which makes them all

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print what was made as JSON.")

    @in_sentences()
    def handle(self, *args: Any, **options: Any) -> None:
        def progress(line: str) -> None:
            if not options["json"]:
                self.stdout.write(line)

        report = set_up_demo(now=timezone.now(), progress=progress)
        self.stdout.write(json.dumps(dataclasses.asdict(report)) if options["json"] else describe(report))


def describe(report: DemoReport) -> str:
    """One line for people."""
    skipped = f" Left alone, not of this command's making: {', '.join(report.skipped)}." if report.skipped else ""
    if not report.users and not report.forums:
        return f"The demonstration data is there already.{skipped}"
    return (
        f"Made {report.users} people, {report.forums} forums, {report.threads} threads, {report.posts} posts, "
        f"{report.votes} votes.{skipped}"
    )
