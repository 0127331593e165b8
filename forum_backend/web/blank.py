"""What template elements of pages hold: a post, a move, a shard with nothing in it, for scripts to fill in."""

from dataclasses import dataclass
from typing import Any

from forum_backend.queries.bylines import Byline
from forum_backend.queries.status_page import LOADS, with_bars

_NOBODY = Byline("", "0")


@dataclass(frozen=True, slots=True)
class BlankPost:
    """A post with nothing in it, whose id is the text that the script replaces."""

    id: str = "0"
    depth: int = 0
    author: Byline = _NOBODY
    author_id: int | None = None
    html: str = ""
    created_at: str = "2000-01-01T00:00:00Z"
    edited_at: None = None
    is_hidden: bool = False
    points: int = 0
    my_vote: int = 0


BLANK_POST = BlankPost()

BLANK_MOVE: dict[str, Any] = {
    "id": "0", "forum": "0", "slug": "", "source": "", "target": "", "state": "planned", "rows_done": 0,
    "rows_total": 0, "rows_per_s": None, "lag": 0, "throttled_by": "", "predicted_window_ms": None, "window_ms": None,
    "verdict": None, "pause_at": "", "is_cancelled": False, "rolls_back": None, "reversible_until": None, "reason": "",
    "attempts": 0, "created_at": "2000-01-01T00:00:00Z", "finished_at": None, "error": "", "allowed": [],
}  # fmt: skip
BLANK_SHARD = with_bars([{"name": "", "state": "active", "is_down": False, **dict.fromkeys(LOADS, 0)}], LOADS)[0]
