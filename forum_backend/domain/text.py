"""What people write, made safe to show: Markdown to HTML, and HTML cut down to what a forum needs."""

import html
import re

import nh3
from markdown_it import MarkdownIt

MAX_BODY_LENGTH = 20_000
# What a Markdown text may cost: its parser tries each opening bracket against all that follows it, which is quadratic;
# for other marks, and for lines, it needs a fixed time that adds up. Nobody writes that many by hand.
MOST_BRACKETS = 200
MOST_MARKS = 3_000
MOST_LINES = 1_000

_MARKS = re.compile(r"[\[\]()*_~`<>&|\\#!]")
_LONG_ADDRESS = re.compile(r"\]\(\S{2000}")  # read anew from each bracket that it may belong to
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")

_TAGS = {
    "a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "hr", "i", "li", "ol", "p", "pre", "s",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "u", "ul",
}  # fmt: skip
_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    attributes={"a": {"href", "title"}},
    url_schemes={"http", "https", "mailto"},
    link_rel="nofollow noopener ugc",
)
_MARKDOWN = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": 20}).enable(
    ["table", "strikethrough"]
)


def render_markdown(text: str) -> str:
    """Sanitised HTML of a Markdown text; of one that is mostly marks, plain paragraphs. No images, no raw HTML."""
    return _CLEANER.clean(_plain(text) if is_too_costly(text) else _MARKDOWN.render(text)).strip()


def is_too_costly(text: str) -> bool:
    """Whether parsing the text as Markdown could hold a thread for longer than a post is worth."""
    return (
        text.count("[") > MOST_BRACKETS
        or text.count("\n") + text.count("\r") > MOST_LINES
        or _LONG_ADDRESS.search(text) is not None
        or sum(1 for _ in _MARKS.finditer(text)) > MOST_MARKS
    )


def _plain(text: str) -> str:
    """Paragraphs and line breaks, and every mark as it was written."""
    paragraphs = _PARAGRAPHS.split(text.strip())
    return "".join(f"<p>{html.escape(paragraph, quote=False).replace('\n', '<br>')}</p>" for paragraph in paragraphs)


def sanitise_html(markup: str) -> str:
    """The HTML of an import with everything taken out that could run, track or break a page."""
    return _CLEANER.clean(markup).strip()
