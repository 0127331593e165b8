"""The actions of `manage.py moves` that are about plans: plan, simulate, apply, pin, unpin."""

import json
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, OutputWrapper
from django.utils import timezone

from forum_backend.commands.fleet_display import plan_lines, show_fleets
from forum_backend.queries.forums import forum_by
from forum_backend.queries.plans import plan_shape
from forum_backend.services.plans import apply_plan, make_plan, pin, rules_with


def add_arguments(actions: Any) -> None:
    """Add the sub-commands to those of `moves`."""
    plan = actions.add_parser("plan", help="the moves that would make the fleet more even; nothing moves")
    simulate = actions.add_parser("simulate", help="make a plan, and show the fleet before and after it as bars")
    for action in (plan, simulate):
        action.add_argument("--threshold", type=_share, metavar="SHARE", help="even enough: 0.2 is 20 %% above average")
        action.add_argument("--moves", type=_count, metavar="N", help="at most so many moves in all")
        action.add_argument("--moves-per-shard", type=_count, metavar="N", help="at most so many from or to a shard")
    apply = actions.add_parser("apply", help="ask for the moves of a plan")
    apply.add_argument("hash", metavar="HASH", help="as `moves plan` printed it")
    pinning = actions.add_parser("pin", help="keep a forum where it is, whatever the plan")
    unpinning = actions.add_parser("unpin", help="let plans move a forum again")
    for action in (pinning, unpinning):
        action.add_argument("forum", metavar="FORUM", help="slug or number")
    for action in (plan, simulate, apply, pinning, unpinning):
        action.add_argument("--json", action="store_true", help="print JSON")


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise ArgumentTypeError("from 0 to 100; 0.2 is 20 %")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 1000:
        raise ArgumentTypeError("from 0 to 1000")
    return value


def _plan(options: dict[str, Any], out: OutputWrapper) -> None:
    shape = _made(options)
    if options["json"]:
        out.write(json.dumps(shape))
    else:
        out.write("\n".join(plan_lines(shape)))


def _simulate(options: dict[str, Any], out: OutputWrapper) -> None:
    shape = _made(options)
    if options["json"]:
        out.write(json.dumps(shape))
        return
    show_fleets(shape, out)
    out.write("\n".join(plan_lines(shape)))


def _made(options: dict[str, Any]) -> dict[str, Any]:
    rules = rules_with(
        threshold=options["threshold"], moves_in_all=options["moves"], moves_per_shard=options["moves_per_shard"]
    )
    return plan_shape(make_plan(requested_by=None, now=timezone.now(), rules=rules))


def _apply(options: dict[str, Any], out: OutputWrapper) -> None:
    shape = plan_shape(apply_plan(digest=options["hash"], requested_by=None, now=timezone.now()))
    refused = sum(1 for move in shape["moves"] if "refused" in move)
    if options["json"]:
        out.write(json.dumps(shape))
    else:
        out.write("\n".join(plan_lines(shape)))
    if refused:
        raise CommandError(f"{refused} of {len(shape['moves'])} moves were refused", returncode=1)


def _pin(options: dict[str, Any], out: OutputWrapper) -> None:
    forum, is_pinned = forum_by(slug_or_id=options["forum"]), options["action"] == "pin"
    pin(forum_id=forum, is_pinned=is_pinned)
    if options["json"]:
        out.write(json.dumps({"forum": str(forum), "is_pinned": is_pinned}))
    else:
        out.write(f"Forum {options['forum']} {'stays where it is' if is_pinned else 'may be moved by plans'}.")


ACTIONS: dict[str, Callable[[dict[str, Any], OutputWrapper], None]] = {
    "plan": _plan,
    "simulate": _simulate,
    "apply": _apply,
    "pin": _pin,
    "unpin": _pin,
}
