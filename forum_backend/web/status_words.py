"""What a move's shape says in words; static/web/status/move_words.js says the same of what is pushed."""

from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from forum_backend.domain.moves import PAUSABLE, MoveState
from forum_backend.queries.status_moves import BEFORE_READY, EDGES_MS, OVER, STEPS, WINDOWS

type Shape = dict[str, Any]

# Not everything is copied yet.
UNCOPIED = {"planned", "prepared", "armed", "copying"}
PHASES = {
    "planned": "waits for a mover",
    "prepared": "prepares",
    "armed": "prepares",
    "copying": "copying",
    "catching_up": "copied; catches up and verifies",
    "verified": "verified; catches up again",
    "ready": "ready to switch",
    "fenced": "switching",
    "activated": "switching",
    "departed": "switched",
    "reversible": "switched",
    "cleaned": "switched",
    "aborted": "given up",
}
# What a script needs to know to show moves as the page does.
RULES: Shape = {
    "steps": [str(state) for state in STEPS],
    "pausable": sorted(PAUSABLE),
    "before_ready": sorted(BEFORE_READY),
    "over": sorted(OVER),
    "phases": PHASES,
    "edges_ms": list(EDGES_MS),
    "windows": WINDOWS,
}


def words(state: str) -> str:
    """The name of a state as people say it."""
    return state.replace("_", " ")


def mark_of(move: Shape) -> tuple[str, str]:
    """The state in a word, and the tone of its colour."""
    state = move["state"]
    if state == MoveState.ABORTED:
        return "given up", "bad"
    if state in OVER:
        return "rolled back" if move["rolls_back"] else "moved", "good"
    if move["is_cancelled"]:
        return "being cancelled", "warn"
    if move["pause_at"] == state:
        return "paused", "warn"
    return words(state), "" if state == MoveState.PLANNED else "accent"


def phase_of(move: Shape) -> str:
    """What is done now, and how far it is."""
    if move["state"] != MoveState.COPYING:
        return PHASES[move["state"]]
    share = move["rows_done"] / move["rows_total"] if move["rows_total"] else 0.0
    return f"copying, {int(min(share, 1) * 100)} %"


def attention_of(move: Shape) -> str:
    """Why it does not go on, or not fast: the most pressing reason."""
    if move["state"] in OVER:
        return ""
    if move["pause_at"]:
        where = "here" if move["pause_at"] == move["state"] else f"once it is {words(move['pause_at'])}"
        return f"Waits {where} until it is resumed."
    if move.get("waits_for"):
        return f"Waits for {move['waits_for']}."
    return f"Slowed down: {move['throttled_by']}." if move["throttled_by"] else ""


def trouble_of(move: Shape) -> str:
    """What went wrong last, and how often something did."""
    if not move["error"] or not move["attempts"]:
        return str(move["error"])
    number = "1 attempt" if move["attempts"] == 1 else f"{move['attempts']} attempts"
    return f"{number} failed; the last one: {move['error']}"


def verdict_of(move: Shape) -> str:
    """What was verified before the switch: number and hash of all rows, and how many had to be copied again."""
    found = move["verdict"] or {}
    if "content" not in found:
        return "–"
    repaired = found.get("repaired_rows", 0)
    return f"{found['rows']:,} rows, {found['content']}" + (f", {repaired:,} copied again" if repaired else "")


def rows_shown(move: Shape) -> int:
    """How far the bar is: full once all is copied, also where a rollback had nothing to copy."""
    return int(move["rows_done"] if move["state"] in UNCOPIED else move["rows_total"] or 1)


def took(move: Shape) -> str:
    """From the request to the switch, or to when it was given up."""
    if not move.get("settled_at"):
        return "–"
    return seconds_of((_time(move["settled_at"]) - _time(move["created_at"])).total_seconds())


def seconds_of(seconds: float) -> str:
    seconds = max(0.0, seconds)
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _time(text: str) -> datetime:
    at = parse_datetime(text)
    if at is None:
        raise ValueError(f"not a time: {text!r}")
    return at
