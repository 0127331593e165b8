"""`manage.py shards`: the fleet and what each shard holds; shards that come and go."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forum_backend.commands.fleet_display import plan_lines
from forum_backend.commands.sentences import in_sentences
from forum_backend.data.control.directory.models import Plan, Shard
from forum_backend.domain.fleet import Stay
from forum_backend.queries.fleet_states import fleet_states, silent_shards
from forum_backend.queries.plans import plan_shape
from forum_backend.queries.shards import shard_shape
from forum_backend.services.failover import reconcile_shard
from forum_backend.services.fleet_changes import add_shard, drain_shard, remove_shard, stop_draining
from forum_backend.services.plans import drain_on

MEGABYTE = 1024 * 1024


def _held_text(shard: str, plan: Plan | None) -> str:
    """What becomes of the forums on a drained shard; nobody but an operator moves pinned ones off it."""
    here = [held["reason"] for held in plan.content["held"] if held["shard"] == shard] if plan is not None else []
    pinned = here.count(Stay.PINNED)
    if not pinned:
        return "the workers move off it what lives there"
    pins = f"{pinned} pinned {'forum stays' if pinned == 1 else 'forums stay'} there until unpinned or moved by hand"
    goes_on = plan is not None and (len(here) > pinned or any(move["source"] == shard for move in plan.moves))
    return f"{pins}, the workers move the others" if goes_on else f"{pins}, and nothing else is left to move"


class Command(BaseCommand):
    help = "Show the shards, add one, empty one, remove one."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = actions.add_parser("list", help="all shards with the load measured last, and whether they answer")
        add = actions.add_parser("add", help="take a database into the fleet: migrates it, checks it, announces it")
        drain = actions.add_parser("drain", help="move all forums off a shard; beat goes on until it is empty")
        remove = actions.add_parser("remove", help="take a shard that is empty out of use")
        reconcile = actions.add_parser(
            "reconcile", help="after a standby was promoted, or a backup restored: compare who owns what, then open it"
        )
        self._name(add, drain, remove, reconcile)
        add.add_argument("dsn", metavar="DSN", help="postgresql://…; the password comes from SHARD_PASSWORD")
        drain.add_argument("--undo", action="store_true", help="let it take forums again")
        for action in (listing, add, drain, remove, reconcile):
            action.add_argument("--json", action="store_true", help="print JSON")

    def _name(self, *actions: ArgumentParser) -> None:
        for action in actions:
            action.add_argument("name", metavar="SHARD", help="such as shard_03")

    @in_sentences()
    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['action']}")(options)

    def _list(self, options: dict[str, Any]) -> None:
        states = fleet_states(silent=silent_shards())
        if options["json"]:
            self.stdout.write(json.dumps(states))
            return
        row = "{:<12} {:<9} {:<8} {:>8} {:>12} {:>9}"
        self.stdout.write(row.format("SHARD", "STATE", "ANSWERS", "FORUMS", "ROWS", "MB"))
        for shard in states:
            answers, size = "no" if shard["is_down"] else "yes", f"{shard['bytes'] / MEGABYTE:.1f}"
            self.stdout.write(
                row.format(shard["name"], shard["state"], answers, shard["forums_count"], shard["rows_count"], size)
            )

    def _add(self, options: dict[str, Any]) -> None:
        shard = add_shard(name=options["name"], dsn=options["dsn"], now=timezone.now())
        self._say(shard, f"{shard.name} is migrated and checked; running processes use it within seconds.", options)

    def _drain(self, options: dict[str, Any]) -> None:
        now = timezone.now()
        if options["undo"]:
            self._say(stop_draining(name=options["name"], now=now), f"{options['name']} takes forums again.", options)
            return
        shard = drain_shard(name=options["name"], now=now)
        plan = drain_on(now=now)
        self._say(shard, f"{shard.name} gets no new forums; {_held_text(shard.name, plan)}.", options, plan=plan)

    def _remove(self, options: dict[str, Any]) -> None:
        shard = remove_shard(name=options["name"], now=timezone.now())
        self._say(shard, f"{shard.name} is out of use; its database is untouched.", options)

    def _reconcile(self, options: dict[str, Any]) -> None:
        found = reconcile_shard(name=options["name"], now=timezone.now(), tell=self._count_forums)
        if options["json"]:
            self.stdout.write(json.dumps(found.shape()))
        elif not found.was_needed:
            self.stdout.write(f"{found.shard} runs on the server that it was reconciled on: nothing to do.")
        else:
            self.stdout.write(
                f"{found.shard} takes writes again: {found.looked_at} forums looked at, {len(found.changed)} settled, "
                f"{len(found.moves_ended)} moves ended."
            )
            for forum, owner in found.changed.items():
                self.stdout.write(f"  forum {forum} is owned by {owner}")
        if found.lost:
            lost = ", ".join(map(str, found.lost))
            raise CommandError(f"No shard has the rows of forums {lost}: bring them back from a backup")

    def _count_forums(self, done: int) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{done} forums", ending="")

    def _say(self, shard: Shard, text: str, options: dict[str, Any], *, plan: Plan | None = None) -> None:
        shape = plan_shape(plan) if plan is not None else None
        if options["json"]:
            self.stdout.write(json.dumps({**shard_shape(shard), "plan": shape}))
            return
        self.stdout.write(text)
        if shape is not None:
            self.stdout.write("\n".join(plan_lines(shape)))
