"""The actions of `manage.py moves` that look before and behind: doctor, explain, limits."""

import json
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, OutputWrapper
from django.utils import timezone

from forum_backend.domain.findings import Finding, stopping
from forum_backend.queries.explanation import explain_move
from forum_backend.queries.forums import forum_by
from forum_backend.queries.move_limits import NAMES, limits_shape
from forum_backend.services.doctor import examine_fleet, examine_move
from forum_backend.services.move_limits import change_limits


def add_arguments(actions: Any) -> None:
    """Add the sub-commands to those of `moves`."""
    doctor = actions.add_parser("doctor", help="what would stop a move, and what earlier ones left; changes nothing")
    doctor.add_argument("forum", metavar="FORUM", nargs="?", help="slug or number; without one: the whole fleet")
    doctor.add_argument("shard", metavar="SHARD", nargs="?", help="where it is to go")
    explain = actions.add_parser("explain", help="what a move did, does and waits for, and what may be asked of it")
    explain.add_argument("id", metavar="ID", type=int, help="the move's number")
    limits = actions.add_parser("limits", help="how fast copies may be; those that run see a change within a second")
    limits.add_argument("--rows-per-second", type=int, metavar="N", help="of one copy at most; 0: no limit")
    limits.add_argument("--slow-factor", type=float, metavar="X", help="writes are slow at X times what they take")
    limits.add_argument("--slow-ms", type=float, metavar="MS", help="and MS milliseconds longer")
    limits.add_argument("--lag-s", type=float, metavar="S", help="how far replicas may be behind")
    for action in (doctor, explain, limits):
        action.add_argument("--json", action="store_true", help="print JSON")


def _doctor(options: dict[str, Any], out: OutputWrapper) -> None:
    if options["forum"] and not options["shard"]:
        raise CommandError("Name the shard as well, as in `moves doctor my-forum shard_02`, or neither")
    now = timezone.now()
    if options["forum"]:
        findings = examine_move(forum_id=forum_by(slug_or_id=options["forum"]), target=options["shard"], now=now)
    else:
        findings = examine_fleet(now=now)
    stops = len(stopping(findings))
    if options["json"]:
        out.write(json.dumps({"stops": stops > 0, "findings": [finding.shape() for finding in findings]}))
    else:
        out.write("\n".join(_lines(findings)))
    if stops:
        raise CommandError(f"{stops} of {len(findings)} findings would stop a move", returncode=1)


def _lines(findings: list[Finding]) -> list[str]:
    if not findings:
        return ["Nothing found: moves can go."]
    lines: list[str] = []
    for finding in findings:
        where = finding.shard if finding.forum is None else f"{finding.shard}, forum {finding.forum}"
        lines += [f"{finding.severity.upper():<6} {finding.code}  {where}", f"       {finding.found}"]
        lines += [f"       -> {finding.advice}"]
    return lines


def _explain(options: dict[str, Any], out: OutputWrapper) -> None:
    explained = explain_move(move_id=options["id"], now=timezone.now())
    out.write(json.dumps(explained) if options["json"] else "\n".join(explained["text"]))


def _limits(options: dict[str, Any], out: OutputWrapper) -> None:
    changes = {name: options[name] for name in NAMES if options[name] is not None}
    limits = change_limits(now=timezone.now(), **changes) if changes else limits_shape()
    if options["json"]:
        out.write(json.dumps(limits))
        return
    most = limits["rows_per_second"]
    out.write(f"A copy brings {'as many rows as others allow' if most is None else f'at most {most:,} rows a second'}.")
    out.write(
        f"It gives way when writes take {limits['slow_factor']:g} times what they take without it, and "
        f"{limits['slow_ms']:g} ms longer; it stops while a replica is more than {limits['lag_s']:g} s behind."
    )


ACTIONS: dict[str, Callable[[dict[str, Any], OutputWrapper], None]] = {
    "doctor": _doctor,
    "explain": _explain,
    "limits": _limits,
}
