"""The post that a page's template element holds: the script fills it in when a new post comes."""

from dataclasses import dataclass

from forum_backend.queries.bylines import Byline

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
