"""How often one address, or one name, may try to register or sign in through the API; the pages count with it."""

from django.http import HttpRequest

from forum_backend.services import attempts


def count_attempt(request: HttpRequest, username: str) -> None:
    """An attempt to register or sign in, counted against the address it came from and the name it is for."""
    attempts.count_attempt(address=str(request.META.get("REMOTE_ADDR", "")), username=username)
