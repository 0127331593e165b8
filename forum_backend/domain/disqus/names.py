"""The names of the format, as the parser reports them: namespace, a space, local name."""

from typing import Final

DISQUS: Final = "http://disqus.com"
INTERNALS: Final = "http://disqus.com/disqus-internals"
SEPARATOR: Final = " "
# What XML calls white space: str.strip() alone would also take a no-break space, which is text.
BLANK: Final = " \t\r\n"


def _named(name: str) -> str:
    return f"{DISQUS}{SEPARATOR}{name}"


USUAL_BINDINGS: Final[dict[str | None, str]] = {None: DISQUS, "dsq": INTERNALS}

DSQ_ID: Final = f"{INTERNALS}{SEPARATOR}id"
ROOT: Final = _named("disqus")
CATEGORY: Final = _named("category")
THREAD: Final = _named("thread")
POST: Final = _named("post")
PARENT: Final = _named("parent")
AUTHOR: Final = _named("author")

ID: Final = _named("id")
FORUM: Final = _named("forum")
LINK: Final = _named("link")
TITLE: Final = _named("title")
MESSAGE: Final = _named("message")
CREATED_AT: Final = _named("createdAt")
IS_CLOSED: Final = _named("isClosed")
IS_DELETED: Final = _named("isDeleted")
IS_SPAM: Final = _named("isSpam")
IS_DEFAULT: Final = _named("isDefault")
NAME: Final = _named("name")
USERNAME: Final = _named("username")
IS_ANONYMOUS: Final = _named("isAnonymous")

FIELDS: Final = frozenset({ID, FORUM, LINK, TITLE, MESSAGE, CREATED_AT, IS_CLOSED, IS_DELETED, IS_SPAM, IS_DEFAULT})
AUTHOR_FIELDS: Final = frozenset({NAME, USERNAME, IS_ANONYMOUS})
REFERENCES: Final = frozenset({CATEGORY, THREAD, PARENT})
# `email` and `ipAddress` are known only in order to be passed over.
KNOWN: Final = FIELDS | AUTHOR_FIELDS | REFERENCES | {ROOT, POST, AUTHOR, DSQ_ID, _named("email"), _named("ipAddress")}


def local(name: str) -> str:
    """The name without its namespace, cut so that it fits a report."""
    return name.rpartition(SEPARATOR)[2][:64]
