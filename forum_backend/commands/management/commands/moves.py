"""`manage.py moves`: ask for a move, follow it, look at those there were; see also *_actions."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forum_backend.commands import doctor_actions, move_actions, plan_actions
from forum_backend.commands.move_display import MoveDisplay, describe
from forum_backend.commands.sentences import in_sentences
from forum_backend.data.control.moves.models import Move
from forum_backend.domain.moves import OVER, MoveState
from forum_backend.queries.forums import forum_by
from forum_backend.queries.moves import get_move, history_of, move_page, move_shape
from forum_backend.services.moves import request_move

POLL_S = 0.1
SILENCE_S = 600.0
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
        status = actions.add_parser("status", help="one move, or the latest ones")
        status.add_argument("id", metavar="ID", nargs="?", type=int)
        status.add_argument("--watch", action="store_true", help="follow it (without ID the latest) until it is over")
        for action in (start, status):
            action.add_argument("--json", action="store_true", help="print JSON")
        plan_actions.add_arguments(actions)
        move_actions.add_arguments(actions)
        doctor_actions.add_arguments(actions)

    @in_sentences()
    def handle(self, *args: Any, **options: Any) -> None:
        act = {**plan_actions.ACTIONS, **move_actions.ACTIONS, **doctor_actions.ACTIONS}.get(options["action"])
        if act is not None:
            act(options, self.stdout)
        elif options["action"] == "start":
            self._start(options)
        else:
            self._status(options)

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
            self._follow(move, as_json=options["json"], silence_s=SILENCE_S)
            move = get_move(move.pk)
        else:
            self._print(move, as_json=options["json"])
        if move.state == MoveState.ABORTED:
            raise CommandError(f"The move was given up: {move.error}", returncode=1)

    def _status(self, options: dict[str, Any]) -> None:
        if options["watch"]:
            self._watch(options["id"] or latest_under_way(), as_json=options["json"])
        elif options["id"] is None:
            self._list(as_json=options["json"])
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

    def _watch(self, move_id: int, *, as_json: bool) -> None:
        """Until the move is over or somebody has seen enough: Ctrl-C is no failure here."""
        with suppress(KeyboardInterrupt):
            self._follow(get_move(move_id), as_json=as_json, silence_s=None)

    def _follow(self, move: Move, *, as_json: bool, silence_s: float | None) -> None:
        """Show each state as it comes; as JSON, a line each."""
        states = states_of(move, silence_s=silence_s)
        if as_json:
            for shape in states:
                self.stdout.write(json.dumps(shape))
        else:
            with MoveDisplay(self.stdout) as display:
                for shape in states:
                    display.show(shape)

    def _print(self, move: Move, *, as_json: bool) -> None:
        self.stdout.write(json.dumps(move_shape(move)) if as_json else describe(move_shape(move)))


def latest_under_way() -> int:
    """The move that was asked for last, of those for which somebody may wait."""
    latest = Move.objects.exclude(state__in=sorted(OVER)).order_by("-pk").values_list("pk", flat=True).first()
    if latest is None:
        raise CommandError("No move is under way: name one, as in `moves status 7 --watch`")
    return latest


def states_of(move: Move, *, silence_s: float | None) -> Iterator[dict[str, Any]]:
    """The move in each state it was and comes to be in, until it is over.

    A large one takes hours: what ends with ``CommandError`` is not a long move, but one without news for ``silence_s``.
    """
    seen, heard = 0, time.monotonic()
    while silence_s is None or time.monotonic() - heard < silence_s:
        for number, shape in history_of(move_id=move.pk, after=seen):
            seen, heard = number, time.monotonic()
            yield shape
            if shape["state"] in OVER:
                return
        if not seen and move.state in OVER:  # so long ago that its history is forgotten
            yield move_shape(move)
            return
        time.sleep(POLL_S)
    raise CommandError(f"No news of move {move.pk} for {silence_s:.0f} s: `moves explain {move.pk}` says why")
