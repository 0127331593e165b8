"""Moves in any state for tests of the status page; no mover runs, so they stay as they are."""

from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from django.db import transaction
from django.utils import timezone

from forum_backend.data.control.moves.models import Move
from forum_backend.domain.moves import FINAL, MoveState
from forum_backend.queries.moves import move_shape
from forum_backend.queries.status_moves import OVER
from forum_backend.services.status_events import record_status
from tests import factories


def make_move(state: MoveState = MoveState.COPYING, *, settled_at: datetime | None = None, **fields: Any) -> Move:
    """A move of a new forum from shard_00 to shard_01; one that is over was settled just now, unless told otherwise."""
    forum = factories.make_forum("shard_00")
    usual = {"rows_done": 40, "rows_total": 160, "token": 1, "epoch": 1, "not_before": timezone.now()}
    if state == MoveState.REVERSIBLE:
        usual |= {"reversible_until": timezone.now() + timedelta(minutes=5), "window_ms": 7.5}
    if state in FINAL:
        usual["finished_at"] = settled_at or timezone.now()
    ends = {"forum": forum, "source_id": "shard_00", "target_id": "shard_01"}
    move = Move.objects.create(**ends, state=state, **usual | fields)
    if state in OVER:
        _settle(move, settled_at or timezone.now())
    return move


def _settle(move: Move, at: datetime) -> None:
    end = MoveState.ABORTED if move.state == MoveState.ABORTED else MoveState.DEPARTED
    with transaction.atomic(using="default"):
        record_status(type=f"move.{end}", data=move_shape(move), now=at, move_id=move.pk)


def end_moves() -> None:
    """Nothing is under way any more, and nothing can be taken back."""
    now = timezone.now()
    Move.objects.filter(state=MoveState.REVERSIBLE).update(state=MoveState.CLEANED, finished_at=now)
    Move.objects.exclude(state__in=sorted(OVER)).update(state=MoveState.ABORTED, finished_at=now)


class Part(HTMLParser):
    """The element with this id: its words, and the values of the buttons that are shown in it."""

    VOID = frozenset({"input", "rect", "br", "meta", "link", "img", "option"})

    def __init__(self, page: str, part: str) -> None:
        super().__init__()
        self.words = ""
        self.buttons: list[str] = []
        self._part, self._depth = part, 0
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if self._depth and tag not in self.VOID:
            self._depth += 1
        if given.get("id") == self._part:
            self._depth = 1
        if self._depth and tag == "button" and "hidden" not in given:
            self.buttons.append(given.get("value") or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element without content opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        if self._depth and tag not in self.VOID:
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.words += data
