"""What an Idempotency-Key is, and when two requests are the same."""

import hashlib
import re
from typing import Any

import orjson

from forum_backend.domain.errors import Invalid

KEY = re.compile(r"[\x21-\x7e]{1,200}")


def checked_key(key: str | None) -> str | None:
    """The key if it is one; ``Invalid`` otherwise."""
    if key is not None and not KEY.fullmatch(key):
        raise Invalid(
            "An Idempotency-Key is 1 to 200 visible ASCII characters",
            fields={"Idempotency-Key": "1 to 200 visible ASCII characters"},
        )
    return key


def request_digest(operation: str, **request: Any) -> bytes:
    """What makes two requests the same: the operation and everything that was asked of it; 32 bytes."""
    return hashlib.sha256(orjson.dumps([operation, request], option=orjson.OPT_SORT_KEYS)).digest()
