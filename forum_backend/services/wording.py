"""What people may write: titles and bodies of a bounded length, with something in them, that PostgreSQL can keep."""

from forum_backend.domain.errors import Invalid
from forum_backend.domain.text import MAX_BODY_LENGTH

MAX_TITLE_LENGTH = 300


def checked_title(title: str) -> str:
    """The title without blanks around it."""
    return _checked("title", title.strip(), MAX_TITLE_LENGTH)


def checked_body(body: str) -> str:
    """The body as it was written."""
    return _checked("body", body, MAX_BODY_LENGTH)


def _checked(name: str, text: str, longest: int) -> str:
    if not text.strip():
        raise Invalid(f"The {name} is empty", fields={name: "some text"})
    if len(text) > longest:
        raise Invalid(f"The {name} is too long", fields={name: f"at most {longest} characters"})
    if "\x00" in text or not _is_unicode(text):
        raise Invalid(f"The {name} holds characters that are none", fields={name: "valid Unicode without NUL"})
    return text


def _is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
