"""`manage.py moves`: ask for a move, follow it, look at those there were; see also *_actions."""

import json
import time
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forum_backend.commands import doctor_actions, move_actions, plan_actions
from forum_backend.commands.move_display import MoveDisplay, describe
from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import ForumError
from forum_backend.domain.moves import OVER, RUNNING, MoveState
from forum_backend.queries.forums import forum_by
from forum_backend.queries.moves import get_move, history_of, move_page, move_shape
from forum_backend.services.moves import request_move

POLL_S = 0.1
WAIT_LIMIT_S = 600.0
LISTED = 20


class Command(BaseCommand):
    help = "Move forums between shards."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        start = actions.add_parser("start", help="ask for a forum to be moved")
        start.add_argument("forum", metavar="FORUM", help="slug or number")
        start.add_argument("shard", metavar="SHARD", help="where to, such as shard_01")
        start.add_argument("--wait", action="store_true", help="until it is over; exit with 1 if it was given up")
        start.add_argument("--pause-at", default="", metavar="STATE", help="wait there for `moves resume`, as in ready")
        status = actions.add_parser("status", help="one move, or the latest")
        status.add_argument("id", metavar="ID", nargs="?", type=int)
        status.add_argument("--watch", action="store_true", help="follow it until it is over")
        for action in (start, status):
            action.add_argument("--json", action="store_true", help="print JSON")
        plan_actions.add_arguments(actions)
        move_actions.add_arguments(actions)
        doctor_actions.add_arguments(actions)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            act = {**plan_actions.ACTIONS, **move_actions.ACTIONS, **doctor_actions.ACTIONS}.get(options["action"])
            if act is not None:
                act(options, self.stdout)
            elif options["action"] == "start":
                self._start(options)
            else:
                self._status(options)
        except ForumError as error:
            raise CommandError(error.detail) from error

    def _start(self, options: dict[str, Any]) -> None:
        forum_id = forum_by(slug_or_id=options["forum"])
        move = request_move(
            forum_id=forum_id,
            target=options["shard"],
            requested_by=None,
            now=timezone.now(),
            pause_at=options["pause_at"],
        )
        if options["wait"]:
            move = self._follow(move, as_json=options["json"])
        else:
            self._print(move, as_json=options["json"])
        if move.state == MoveState.ABORTED:
            raise CommandError(f"The move was given up: {move.error}", returncode=1)

    def _status(self, options: dict[str, Any]) -> None:
        if options["id"] is None and options["watch"]:
            options["id"] = Move.objects.filter(state__in=sorted(RUNNING)).values_list("pk", flat=True).first()
            if options["id"] is None:
                raise CommandError("No move is running: name one, as in `moves status 7 --watch`")
        if options["id"] is None:
            self._list(as_json=options["json"])
        elif options["watch"]:
            self._follow(get_move(options["id"]), as_json=options["json"])
        else:
            self._print(get_move(options["id"]), as_json=options["json"])

    def _list(self, *, as_json: bool) -> None:
        moves = move_page(cursor=None, limit=LISTED)["items"]
        if as_json:
            self.stdout.write(json.dumps(moves))
        elif not moves:
            self.stdout.write("No moves yet.")
        for move in [] if as_json else moves:
            self.stdout.write(describe(move))

    def _follow(self, move: Move, *, as_json: bool) -> Move:
        """Show each state as it comes; as JSON, a line each."""
        if as_json:
            for shape in states_of(move):
                self.stdout.write(json.dumps(shape))
        else:
            with MoveDisplay(self.stdout) as display:
                for shape in states_of(move):
                    display.show(shape)
        return get_move(move.pk)

    def _print(self, move: Move, *, as_json: bool) -> None:
        self.stdout.write(json.dumps(move_shape(move)) if as_json else describe(move_shape(move)))


def states_of(move: Move) -> Iterator[dict[str, Any]]:
    """The move in each state it was and comes to be in, until it is over; ``CommandError`` if that takes too long."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    seen = 0
    while time.monotonic() < deadline:
        for number, shape in history_of(move_id=move.pk, after=seen):
            seen = number
            yield shape
            if shape["state"] in OVER:
                return
        time.sleep(POLL_S)
    raise CommandError(f"Move {move.pk} is not over after {WAIT_LIMIT_S:.0f} s; is a Celery worker running?")
