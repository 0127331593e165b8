"""Changing one's profile: it is made here too if the event of the registration has not come through yet."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError

from forum_backend.data.control.accounts.models import User
from forum_backend.data.profiles.models import Profile
from forum_backend.domain.errors import Invalid, NotFound
from forum_backend.queries.profiles import forget_card, profile_shape

CHANGEABLE = ("display_name", "about", "avatar")
_VALIDATED_ELSEWHERE = {"user", "username", "posts_count", "points", "joined_at"}


def update_profile(*, user_id: int, changes: dict[str, Any], now: datetime) -> dict[str, Any]:  # noqa: ARG001  (every write is told the time)
    """Change ``display_name``, ``about`` or ``avatar``; returns the profile's shape."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        raise NotFound("user", user_id)
    _refuse_invalid(changes)
    defaults = {"username": user.username, "joined_at": user.joined_at}
    profile, _is_new = Profile.objects.update_or_create(
        pk=user_id, defaults=changes, create_defaults={**defaults, **changes}
    )
    forget_card(user_id)
    return profile_shape(profile)


def _refuse_invalid(changes: dict[str, Any]) -> None:
    unknown = changes.keys() - set(CHANGEABLE)
    if unknown:
        raise Invalid(fields=dict.fromkeys(sorted(unknown), "cannot be changed"))
    draft = Profile(**changes)
    try:
        draft.clean_fields(exclude=_VALIDATED_ELSEWHERE)
    except ValidationError as error:
        raise Invalid(
            "This profile cannot be kept", fields={name: " ".join(texts) for name, texts in error.message_dict.items()}
        ) from error
    if len(str(changes.get("about", ""))) > 2000:
        raise Invalid("This profile cannot be kept", fields={"about": "at most 2000 characters"})
    if str(changes.get("avatar", "")) and not str(changes["avatar"]).startswith(("https://", "http://")):
        raise Invalid("This profile cannot be kept", fields={"avatar": "an http or https address"})
