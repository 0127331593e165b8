"""Who is asking: bearer tokens, and what a request says about itself in headers and addresses."""

from typing import Any

from django.http import HttpRequest
from ninja.security import HttpBearer

from forum_backend.domain.errors import InvalidId, NotAuthenticated, NotFound
from forum_backend.domain.ids import parse_id
from forum_backend.services.accounts import Account, known_account, user_of_token
from forum_backend.services.crossing import in_service_thread

ANONYMOUS = Account(id=0, username="", is_staff=False)


class Bearer(HttpBearer):
    """``Authorization: Bearer``; a token of nobody is refused."""

    async def authenticate(self, request: HttpRequest, token: str) -> Account:
        account = known_account(token) or await in_service_thread(user_of_token, token)
        if account is None:
            raise NotAuthenticated("The token is not valid")
        return account


class OptionalBearer(Bearer):
    """As ``Bearer``, but who says nothing is ``ANONYMOUS``; what is said must be true all the same."""

    def __call__(self, request: HttpRequest) -> Any:
        return super().__call__(request) if request.headers.get("Authorization") else _anonymous()


async def _anonymous() -> Account:
    return ANONYMOUS


signed_in = Bearer()
anyone = OptionalBearer()


def account_of(request: HttpRequest) -> Account:
    """The account that the endpoint's ``auth`` found."""
    account: Account = request.auth  # type: ignore[attr-defined]
    return account


def token_of(request: HttpRequest) -> str:
    return str(request.headers.get("Authorization", "")).partition(" ")[2]


def idempotency_key(request: HttpRequest) -> str | None:
    """The request's Idempotency-Key as it came; the service says whether it is one."""
    key: str | None = request.headers.get("Idempotency-Key")
    return key


def id_in_address(kind: str, text: str) -> int:
    """A routed id from an address; an address with anything else leads nowhere."""
    try:
        return parse_id(text)
    except InvalidId as error:
        raise NotFound(kind, text) from error
