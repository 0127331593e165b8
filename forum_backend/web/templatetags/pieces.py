"""Pieces of every page: times, bylines, avatars, addresses of threads."""

from datetime import datetime
from urllib.parse import quote, urlencode
from zlib import crc32

from django import template
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import slugify

from forum_backend.queries.bylines import Byline
from forum_backend.queries.thread_page import PostRow, ThreadHead

register = template.Library()

MAX_SHOWN_DEPTH = 6
AVATAR_COLOURS = 8
_STEPS = [(60, 1, "just now"), (3600, 60, "{} min ago"), (86_400, 3600, "{} h ago"), (7 * 86_400, 86_400, "{} d ago")]


@register.simple_tag
def when(value: datetime | str | None) -> SafeString | str:
    """A time for machines and, in words, for people."""
    at = parse_datetime(value) if isinstance(value, str) else value
    if at is None:
        return ""
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat().replace("+00:00", "Z"),
        at.strftime("%d %B %Y, %H:%M UTC"),
        in_words(at, now=timezone.now()),
    )


def in_words(at: datetime, *, now: datetime) -> str:
    """How long ago, within a week; the day before that."""
    seconds = max(0, int((now - at).total_seconds()))
    for limit, unit, text in _STEPS:
        if seconds < limit:
            return text.format(seconds // unit)
    return f"{at.day} {at:%b}" if at.year == now.year else f"{at.day} {at:%b %Y}"


@register.simple_tag
def author(byline: Byline | None) -> SafeString:
    """The author's name: a link to the profile for accounts, plain for guests of an import."""
    if byline is None:
        return format_html('<span class="name"></span>')
    if byline.username is None:
        return format_html('<span class="name" dir="auto">{}</span>', byline.name)
    return format_html('<a class="name" dir="auto" href="/u/{}/">{}</a>', byline.username, byline.name)


@register.simple_tag
def avatar(byline: Byline | None, size: str = "") -> SafeString:
    """Initials on a colour of the author's own; no picture from elsewhere, so nobody learns who reads."""
    name = byline.name if byline else ""
    hue = crc32((byline.username or name).encode()) % AVATAR_COLOURS if byline else 0
    return format_html('<span class="avatar h{} {}" aria-hidden="true">{}</span>', hue, size, initials(name))


def initials(name: str) -> str:
    """The first letters of the first and the last word."""
    words = [word for word in name.replace("_", " ").replace("-", " ").replace(".", " ").split() if word[0].isalnum()]
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words[:1])) or "?"


@register.simple_tag
def thread_url(thread: ThreadHead) -> str:
    """The address of a thread, with its title for people to read."""
    slug = slugify(thread.title, allow_unicode=True)[:80].strip("-")
    return f"/t/{thread.id}/{quote(slug)}" if slug else f"/t/{thread.id}/"


@register.simple_tag(takes_context=True)
def sign_in_url(context: template.Context) -> str:
    """Sign in, and come back to this page."""
    request = context.get("request")
    if request is None or request.method != "GET" or request.path in {"/sign-in", "/sign-up", "/"}:
        return "/sign-in"
    return f"/sign-in?{urlencode({'next': request.get_full_path()})}"


@register.filter
def shown_depth(post: PostRow, order: str) -> int:
    """How far a post is set in: by its depth in the nested order, not at all in the others."""
    return min(post.depth, MAX_SHOWN_DEPTH) if order == "nested" else 0
