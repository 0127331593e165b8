"""What readers see of users: the small card beside each post, and the profile of one user."""

import logging
import threading
from collections.abc import Iterable
from typing import Any

from cachetools import TTLCache
from django.db import DatabaseError, InterfaceError, connections

from forum_backend.data.control.accounts.models import User
from forum_backend.data.profiles.models import Profile
from forum_backend.domain.errors import NotFound, ShardUnavailable
from forum_backend.queries.shapes import Shape, timestamp
from routers.health import health

logger = logging.getLogger(__name__)

CARDS_KEPT = 100_000
CARD_SECONDS = 30
MAX_USERNAME = 40
PROFILES = "profiles"

_cards: TTLCache[int, Shape] = TTLCache(CARDS_KEPT, CARD_SECONDS)
_lock = threading.Lock()


def author_cards(ids: Iterable[int]) -> dict[int, Shape]:
    """``{id: {"username", "display_name", "avatar"}}`` of the users that exist, from memory or with one query."""
    wanted = set(ids)
    with _lock:
        cards = {user: card for user in wanted if (card := _cards.get(user)) is not None}
    missing = wanted - cards.keys()
    if missing:
        found = _profile_cards(missing)
        fallback = _account_cards(missing - found.keys())
        with _lock:
            _cards.update(found)
        cards |= found | fallback
    return cards


def kept_card(user_id: int) -> Shape | None:
    """The card of a user if it is in memory: no query, for the event loop."""
    with _lock:
        card: Shape | None = _cards.get(user_id)
    return card


def forget_card(user_id: int) -> None:
    """The next reader of this process gets the user's card as it is now."""
    with _lock:
        _cards.pop(user_id, None)


def with_authors(shapes: list[Shape], *, key: str = "author", cards: dict[int, Shape] | None = None) -> list[Shape]:
    """Give each shape its author's card under ``key`` (in place, and return them). Guests have no username."""
    if cards is None:
        cards = author_cards(int(shape["author_id"]) for shape in shapes if shape.get("author_id"))
    for shape in shapes:
        if "author_id" not in shape:
            continue
        guest = shape.pop("guest_name", "")
        if shape["author_id"]:
            shape[key] = cards.get(int(shape["author_id"]))
        else:
            shape[key] = {"username": None, "display_name": guest, "avatar": ""} if guest else None
        if key != "author":
            shape[f"{key}_id"] = shape.pop("author_id")
    return shapes


def _profile_cards(ids: set[int]) -> dict[int, Shape]:
    """Cards from the profiles database; none while it does not answer, and it is not asked by every request then."""
    rows = Profile.objects.filter(pk__in=ids).values_list("user_id", "username", "display_name", "avatar")
    try:
        health.refuse_if_down(PROFILES)
        found = {user: _card(username, name, avatar) for user, username, name, avatar in rows}
    except ShardUnavailable:
        return {}
    except (DatabaseError, InterfaceError) as error:
        connections[PROFILES].close()
        health.failed(PROFILES)
        logger.warning(
            "The profiles database did not answer; authors are shown by their account names",
            extra={"action": "author_cards", "error": type(error).__name__},
        )
        return {}
    health.answered(PROFILES)
    return found


def _account_cards(ids: set[int]) -> dict[int, Shape]:
    """Names of accounts whose profile is not made yet."""
    if not ids:
        return {}
    return {user: _card(name, "", "") for user, name in User.objects.filter(pk__in=ids).values_list("pk", "username")}


def _card(username: str, display_name: str, avatar: str) -> Shape:
    return {"username": username, "display_name": display_name or username, "avatar": avatar}


def profile_by(*, username: str) -> Shape:
    """The public profile of a user, whatever the case of the name. ``NotFound`` for an unknown or closed account."""
    if len(username) > MAX_USERNAME or not username.isascii() or not username.isprintable():
        raise NotFound("user", username)
    user = User.objects.named(username).filter(is_active=True).first()
    if user is None:
        raise NotFound("user", username)
    return profile_of(user)


def profile_of_id(user_id: int) -> Shape:
    """The public profile of a user by id."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        raise NotFound("user", user_id)
    return profile_of(user)


def own_account(user_id: int) -> Shape:
    """What a user sees of himself: the profile, and what nobody else is shown."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        raise NotFound("user", user_id)
    return {"id": str(user.pk), **profile_of(user), "email": user.email, "is_staff": user.is_staff}


def profile_of(user: User) -> Shape:
    """A profile's shape, from the account alone until the event of the registration has made the profile."""
    profile = Profile.objects.filter(pk=user.pk).first()
    return profile_shape(profile or Profile(user_id=user.pk, username=user.username, joined_at=user.joined_at))


def profile_shape(profile: Profile) -> dict[str, Any]:
    return {
        "username": profile.username,
        "display_name": profile.display_name or profile.username,
        "about": profile.about,
        "avatar": profile.avatar,
        "joined_at": timestamp(profile.joined_at),
        "posts_count": profile.posts_count,
        "points": profile.points,
    }
