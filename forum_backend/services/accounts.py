"""Accounts and their tokens. A registration and the news of it are one transaction."""

import hashlib
import logging
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime

from cachetools import TTLCache
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from forum_backend.data.control.accounts.models import AccountOutbox, ApiToken, User
from forum_backend.domain.errors import AlreadyTaken, ForumError, Invalid, NotAuthenticated, NotFound
from forum_backend.queries.profiles import own_account
from forum_backend.services.passwords import hashing_place
from forum_backend.services.profiles import update_profile
from forum_backend.services.waking import wake_accounts

logger = logging.getLogger(__name__)

TOKENS_KEPT = 50_000
TOKEN_SECONDS = 30
MAX_PASSWORD = 200


@dataclass(frozen=True, slots=True)
class Account:
    """Who is asking."""

    id: int
    username: str
    is_staff: bool


_accounts: TTLCache[bytes, Account] = TTLCache(TOKENS_KEPT, TOKEN_SECONDS)
_lock = threading.Lock()


def account_of(user: User) -> Account:
    return Account(id=user.pk, username=user.username, is_staff=user.is_staff)


def register(*, username: str, password: str, email: str = "", display_name: str = "", now: datetime) -> User:
    """A new account. ``Invalid`` names the fields at fault; ``AlreadyTaken`` if the name is, in whatever case."""
    user = User(username=username, email=email, joined_at=now)
    _refuse_invalid(user, password)
    with hashing_place():
        user.set_password(password)
    _save_new(user, now)
    if display_name.strip():
        _name_profile(user, display_name.strip())
    return user


def _refuse_invalid(user: User, password: str) -> None:
    problems: dict[str, str] = {}
    try:
        user.clean_fields(exclude={"password"})
    except ValidationError as error:
        problems = {name: " ".join(texts) for name, texts in error.message_dict.items()}
    try:
        if len(password) > MAX_PASSWORD or "\x00" in password:
            raise ValidationError(f"At most {MAX_PASSWORD} characters, none of them NUL.")
        validate_password(password, user)
    except ValidationError as error:
        problems["password"] = " ".join(error.messages)
    if problems:
        raise Invalid("This account cannot be made", fields=problems)


def _save_new(user: User, now: datetime) -> None:
    try:
        with transaction.atomic(using="default"):
            user.save(force_insert=True)
            AccountOutbox.objects.create(type="user.registered", user=user, at=now)
    except IntegrityError as error:
        raise AlreadyTaken("username", user.username) from error
    wake_accounts()


def _name_profile(user: User, display_name: str) -> None:
    """The account is made whatever happens to the profiles database; the name can be set again later."""
    try:
        update_profile(user_id=user.pk, changes={"display_name": display_name}, now=user.joined_at)
    except Invalid:
        raise
    except ForumError:
        logger.warning("The display name of a new account was not kept", extra={"action": "register", "user": user.pk})


def ensure_user(*, username: str, is_staff: bool, password: str | None = None, now: datetime) -> User:
    """The account of this name, made if needed; becomes staff, and gets the password, if that is asked for."""
    user = User.objects.named(username).first()
    if user is None:
        user = User(username=username, is_staff=is_staff, joined_at=now)
        _refuse_bad_name(user)
        with hashing_place():
            user.password = make_password(password)
        _save_new(user, now)
        return user
    user.is_staff = user.is_staff or is_staff
    with hashing_place():
        if password and not check_password(password, user.password):
            user.set_password(password)
    user.save(update_fields=["is_staff", "password"])
    return user


def _refuse_bad_name(user: User) -> None:
    try:
        user.clean_fields(exclude={"password"})
    except ValidationError as error:
        raise Invalid("This account cannot be made", fields={"username": " ".join(error.messages)}) from error


def update_account(*, user_id: int, changes: dict[str, str]) -> dict[str, object]:
    """Change ``email``; returns what a user sees of himself."""
    if changes.keys() - {"email"}:
        raise Invalid(fields=dict.fromkeys(sorted(changes.keys() - {"email"}), "cannot be changed"))
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        raise NotFound("user", user_id)
    user.email = changes.get("email", user.email)
    try:
        user.clean_fields(exclude={"password", "username", "joined_at"})
    except ValidationError as error:
        raise Invalid("This account cannot be kept", fields={"email": " ".join(error.messages)}) from error
    user.save(update_fields=["email"])
    return own_account(user_id)


def authenticate(*, username: str, password: str) -> User:
    """The account of these credentials; ``NotAuthenticated`` in the same time whether the name exists or not."""
    if len(username) > 150 or len(password) > MAX_PASSWORD or "\x00" in username + password:
        raise NotAuthenticated("The username or the password is wrong")
    user = User.objects.named(username).first()
    with hashing_place():
        # For a name that does not exist the work is done all the same.
        is_right = check_password(password, user.password if user else make_password(None))
    if user is None or not is_right or not user.is_active:
        raise NotAuthenticated("The username or the password is wrong")
    return user


def exchange_password(*, username: str, password: str, now: datetime) -> str:
    """A new token for who knows the password; ``NotAuthenticated`` otherwise."""
    return create_token(user=authenticate(username=username, password=password), now=now)


def create_token(*, user: User, now: datetime) -> str:
    """A new token of an account. Only its digest is stored: this is the one time it can be read."""
    token = secrets.token_urlsafe(32)
    ApiToken.objects.create(digest=_digest(token), user=user, created_at=now)
    return token


def revoke_token(*, token: str) -> None:
    """The token opens nothing any more; other processes may believe it for ``TOKEN_SECONDS``."""
    digest = _digest(token)
    ApiToken.objects.filter(digest=digest).delete()
    with _lock:
        _accounts.pop(digest, None)


def user_of_token(token: str) -> Account | None:
    """The account that a token stands for, from memory or with one query; None for a token of nobody."""
    known = known_account(token)
    return known or _account_of_digest(_digest(token))


def known_account(token: str) -> Account | None:
    """As ``user_of_token``, from memory only: callable on the event loop."""
    digest = _digest(token)
    with _lock:
        return _accounts.get(digest)


def _account_of_digest(digest: bytes) -> Account | None:
    """Looked up by digest: what an index comparison could tell about time says nothing about the token."""
    found = ApiToken.objects.filter(digest=digest, user__is_active=True).select_related("user").first()
    if found is None:
        return None
    account = account_of(found.user)
    with _lock:
        _accounts[digest] = account
    return account


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
