"""What people write, made safe to show: Markdown to HTML, and HTML cut down to what a forum needs."""

import nh3
from markdown_it import MarkdownIt

MAX_BODY_LENGTH = 50_000

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
    """Sanitised HTML of a Markdown text. Images and raw HTML are not taken over."""
    return _CLEANER.clean(_MARKDOWN.render(text)).strip()


def sanitise_html(html: str) -> str:
    """The HTML of an import with everything taken out that could run, track or break a page."""
    return _CLEANER.clean(html).strip()
