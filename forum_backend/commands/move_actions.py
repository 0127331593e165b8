"""The actions of `manage.py moves` on one move or forum: pause, resume, cancel, rollback, verify."""

import json
from collections.abc import Callable
from typing import Any

from django.core.management.base import OutputWrapper
from django.utils import timezone

from forum_backend.commands.move_display import describe
from forum_backend.data.control.moves.models import Move
from forum_backend.domain.moves import PAUSABLE, MoveState
from forum_backend.queries.forums import forum_by
from forum_backend.queries.moves import move_shape
from forum_backend.services.move_control import cancel_move, pause_move, resume_move, rollback_move
from forum_backend.services.verification import verify_forum


def add_arguments(actions: Any) -> None:
    """Add the sub-commands to those of `moves`."""
    pause = actions.add_parser("pause", help="let a move wait, where it is or in a later state")
    pause.add_argument(
        "--at", default="", metavar="STATE", choices=["", *(state for state in MoveState if state in PAUSABLE)],
        help="such as ready: everything is done but the switch",
    )  # fmt: skip
    resume = actions.add_parser("resume", help="let a move go on at once")
    cancel = actions.add_parser("cancel", help="give a move up before its fence")
    back = actions.add_parser("rollback", help="bring a forum back where it came from, without a copy")
    for action in (pause, resume, cancel, back):
        action.add_argument("id", metavar="ID", type=int, help="the move's number")
    verify = actions.add_parser("verify", help="read every row of a forum: how many, and the hash of its content")
    verify.add_argument("forum", metavar="FORUM", help="slug or number")
    for action in (pause, resume, cancel, back, verify):
        action.add_argument("--json", action="store_true", help="print JSON")


def _pause(options: dict[str, Any], out: OutputWrapper) -> None:
    _print(pause_move(move_id=options["id"], at=options["at"], now=timezone.now()), options, out)


def _resume(options: dict[str, Any], out: OutputWrapper) -> None:
    _print(resume_move(move_id=options["id"], now=timezone.now()), options, out)


def _cancel(options: dict[str, Any], out: OutputWrapper) -> None:
    _print(cancel_move(move_id=options["id"], now=timezone.now()), options, out)


def _rollback(options: dict[str, Any], out: OutputWrapper) -> None:
    _print(rollback_move(move_id=options["id"], requested_by=None, now=timezone.now()), options, out)


def _verify(options: dict[str, Any], out: OutputWrapper) -> None:
    shape = verify_forum(forum_by(slug_or_id=options["forum"])).shape()
    if options["json"]:
        out.write(json.dumps(shape))
        return
    out.write(f"Forum {shape['forum']} on {shape['shard']}: {shape['rows']} rows, content {shape['content']}")
    for name, table in shape["tables"].items():
        out.write(f"  {name:<16} {table['rows']:>10} rows  {table['content']}")
    if shape["is_as_moved"] is not None:
        changed = "as it was then" if shape["is_as_moved"] else "it was written to since"
        out.write(f"Its last move verified {shape['at_last_move']['content']}: {changed}")


def _print(move: Move, options: dict[str, Any], out: OutputWrapper) -> None:
    shape = move_shape(move)
    out.write(json.dumps(shape) if options["json"] else describe(shape))


ACTIONS: dict[str, Callable[[dict[str, Any], OutputWrapper], None]] = {
    "pause": _pause,
    "resume": _resume,
    "cancel": _cancel,
    "rollback": _rollback,
    "verify": _verify,
}
