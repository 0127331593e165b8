"""Who is at the other end of a websocket: a token, or the session of a page of ours."""

from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from forum_backend.domain.errors import NotAuthenticated
from forum_backend.services.accounts import Account, account_of, user_of_token

BEARER = "bearer "
PROTOCOL = "bearer."  # a browser that has a token offers it as the subprotocol "bearer.<token>"


def account_at(scope: dict[str, Any]) -> Account:
    """The account of a handshake (does I/O). ``NotAuthenticated`` if it names none, or comes from a strange page."""
    token = token_in(scope)
    account = user_of_token(token) if token is not None else _account_of_session(scope)
    if account is None:
        raise NotAuthenticated
    return account


def token_in(scope: dict[str, Any]) -> str | None:
    """The token in the header, else among the offered subprotocols; an address with one would end up in logs."""
    header = _header(scope, b"authorization")
    if header.lower().startswith(BEARER):
        return header[len(BEARER) :].strip()
    offered = (name for name in scope.get("subprotocols", ()) if name.startswith(PROTOCOL))
    return next((str(name[len(PROTOCOL) :]) for name in offered), None)


def _account_of_session(scope: dict[str, Any]) -> Account | None:
    """A browser sends cookies with websockets of any page, so the page must be one of ours."""
    if not _comes_from_us(scope):
        return None
    try:
        cookies = SimpleCookie(_header(scope, b"cookie"))
    except CookieError:
        return None
    morsel = cookies.get(settings.SESSION_COOKIE_NAME)
    if morsel is None:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(morsel.value)
    user = get_user(request)
    return account_of(user) if user.is_authenticated else None


def _comes_from_us(scope: dict[str, Any]) -> bool:
    origin = _header(scope, b"origin")
    return bool(origin) and bool(AllowedHostsOriginValidator(None).valid_origin(urlsplit(origin)))


def _header(scope: dict[str, Any], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
