"""Who looks at a page, and safe ways to send them on."""

from urllib.parse import quote

from django.http import HttpRequest, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme

from forum_backend.data.control.accounts.models import User
from forum_backend.domain.errors import Forbidden, NotAuthenticated
from forum_backend.services import permissions
from forum_backend.services.accounts import Account, account_of


class SeeOther(HttpResponseRedirect):
    """After a form was taken: look there, with GET."""

    status_code = 303


def viewer(request: HttpRequest) -> Account | None:
    """The account that is signed in."""
    user = request.user
    return account_of(user) if isinstance(user, User) and user.is_active else None


def member(request: HttpRequest) -> Account:
    """The account that is signed in; ``NotAuthenticated`` leads to the sign-in page and back."""
    account = viewer(request)
    if account is None:
        raise NotAuthenticated
    return account


def staff(request: HttpRequest) -> Account:
    """As ``member``; ``Forbidden`` for who is not staff."""
    account = member(request)
    if not account.is_staff:
        raise Forbidden("This page is for staff")
    return account


def may_moderate(account: Account | None, owner_id: int) -> bool:
    """Whether to show what the forum's owner and staff may do; nobody who is not signed in."""
    return account is not None and permissions.may_moderate(account, owner_id)


def safe_next(request: HttpRequest, address: str) -> str:
    """The address if it leads back into this site, else the front page."""
    inside = url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return address if inside and address.startswith("/") else "/"


def post_address(*, thread: int, post: int, after: int | None, order: str = "nested") -> str:
    """The page of the thread that a post is on, at the post."""
    query = [f"order={quote(order)}"] if order != "nested" else []
    query += [f"after={after}"] if after else []
    return f"/t/{thread}/{'?' if query else ''}{'&'.join(query)}#p-{post}"
