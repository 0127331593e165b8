"""Users and their API tokens. A user's public side (name shown, avatar, counters) is a Profile, elsewhere."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower

USERNAME = RegexValidator(
    r"^[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$", "Use letters, digits, and _ . - between them."
)


class UserManager(BaseUserManager["User"]):
    """Finds users by name whatever its case, as sign-in does."""

    def named(self, username: str) -> "models.QuerySet[User]":
        """The account of this name. Not ``iexact``: that asks for UPPER(…), for which there is no index."""
        return self.alias(lowered=Lower("username")).filter(lowered=username.lower())

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.named(username or "").get()


class User(AbstractBaseUser):
    """An account: who somebody is. Registration announces it (``user.registered``) in the same transaction."""

    username = models.CharField(max_length=40, unique=True, validators=[USERNAME])
    email = models.EmailField(blank=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    joined_at = models.DateTimeField()

    objects: ClassVar[UserManager] = UserManager()

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["email"]

    class Meta:
        db_table = "account"
        constraints = [models.UniqueConstraint(Lower("username"), name="account_username_unique")]

    def __str__(self) -> str:
        return self.username

    @property
    def is_superuser(self) -> bool:
        return self.is_staff

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return self.is_active and self.is_staff


class ApiToken(models.Model):
    """A bearer token. Only the SHA-256 of it is stored: who reads this table cannot use what is in it."""

    digest = models.BinaryField(max_length=32, unique=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "api_token"


class AccountOutbox(models.Model):
    """What other databases must learn of an account, recorded in the transaction that changed it."""

    type = models.CharField(max_length=40)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField()

    class Meta:
        db_table = "account_outbox"
