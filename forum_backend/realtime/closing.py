"""Why a websocket is closed: codes that clients can act on, and the errors they stand for."""

from enum import IntEnum

from forum_backend.domain.errors import Forbidden, ForumError, Invalid, NotAuthenticated, NotFound, Unavailable


class Close(IntEnum):
    """Below 4000 as RFC 6455 has them; ours above."""

    NOT_TAKEN = 1008  # frames of a client that only has to listen
    INTERNAL = 1011
    FULL = 1013
    BAD_REQUEST = 4000
    REFUSED = 4003  # not now (forum) or not for you (status)
    NOT_FOUND = 4004
    TOO_SLOW = 4008
    SIGN_IN = 4401


REASONS = {
    Close.NOT_TAKEN: "this socket only listens",
    Close.INTERNAL: "something went wrong; resume with after=N",
    Close.FULL: "too many connections; try again later",
    Close.BAD_REQUEST: "not a forum's number, or after is not a number",
    Close.REFUSED: "refused",
    Close.NOT_FOUND: "there is no such forum",
    Close.TOO_SLOW: "too slow, resume with after=N",
    Close.SIGN_IN: "sign in first",
}


def code_of(error: ForumError) -> tuple[Close, str]:
    """How to close for an error, and the code of its error frame."""
    match error:
        case NotFound():
            return Close.NOT_FOUND, "not_found"
        case NotAuthenticated():
            return Close.SIGN_IN, "not_authenticated"
        case Forbidden():
            return Close.REFUSED, "forbidden"
        case Invalid():
            return Close.BAD_REQUEST, "invalid"
        case Unavailable():
            return Close.REFUSED, "unavailable"
        case _:
            return Close.INTERNAL, "internal"
