"""Pieces of the status page: figures with their units, bars, the words for a move, what may be asked of it."""

from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.safestring import SafeString

from forum_backend.domain.moves import MoveState
from forum_backend.queries.status_moves import STEPS
from forum_backend.web import status_words

register = template.Library()
register.filter("words", status_words.words)
register.filter("phase", status_words.phase_of)
register.filter("attention", status_words.attention_of)
register.filter("trouble", status_words.trouble_of)
register.filter("verdict", status_words.verdict_of)
register.filter("rows_shown", status_words.rows_shown)
register.filter("took", status_words.took)
register.filter("seconds", status_words.seconds_of)

LOADS = {
    "forums_count": "Forums", "rows_count": "Rows", "rows": "Rows", "bytes": "Size", "writes_s": "Writes/s",
    "reads_s": "Reads/s",
}  # fmt: skip
BUTTONS = (
    ("pause", "Pause", "plain"),
    ("resume", "Resume", "plain"),
    ("hold", "Hold when ready", "plain"),
    ("cancel", "Cancel", "text"),
    ("rollback", "Roll back", "plain"),
)


@register.simple_tag
def load_name(name: str) -> str:
    return LOADS[name]


@register.simple_tag
def figure(name: str, value: float) -> str:
    """A load in the unit that people read it in."""
    if name == "bytes":
        return filesizeformat(value)
    return f"{value:,.2f}".rstrip("0").rstrip(".") if name.endswith("_s") else str(intcomma(round(value)))


@register.simple_tag
def bar(share: float, kind: str = "") -> SafeString:
    """A bar as long as its share in percent. Width as an attribute: the policy lets no style through."""
    return format_html(
        '<svg class="bar-line {}" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="{}" height="1"/></svg>',
        kind,
        share,
    )


@register.simple_tag
def column(share: float) -> SafeString:
    """A column of a histogram."""
    return format_html(
        '<svg class="column" viewBox="0 0 1 100" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="1" y="{}" height="{}"/></svg>',
        round(100 - share, 1),
        share,
    )


@register.filter
def ms(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f} ms" if value < 10 else f"{value:,.0f} ms"


@register.simple_tag
def move_mark(move: dict[str, Any]) -> SafeString:
    """The state of a move in a word, with a colour."""
    word, tone = status_words.mark_of(move)
    return format_html('<span class="mark {}" data-mark>{}</span>', tone, word)


@register.filter
def steps(move: dict[str, Any]) -> list[dict[str, Any]]:
    """The way of a move: what is done, where it is. One that was given up is nowhere on it."""
    order = [str(state) for state in STEPS]
    state = MoveState.REVERSIBLE if move["state"] == MoveState.CLEANED else move["state"]
    at = order.index(state) if state in order else -1
    return [{"name": name, "is_done": number < at, "is_here": number == at} for number, name in enumerate(order)]


@register.filter
def buttons(move: dict[str, Any]) -> list[dict[str, Any]]:
    """All that may ever be asked of a move, and whether it may be now."""
    return [{"do": do, "verb": verb, "kind": kind, "is_shown": do in move["allowed"]} for do, verb, kind in BUTTONS]
