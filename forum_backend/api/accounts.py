"""Registration, tokens, and a user's own account and profile."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router

from forum_backend.api.access import account_of, signed_in, token_of
from forum_backend.api.answers import answer, nothing
from forum_backend.api.limits import count_attempt
from forum_backend.api.schemas import AccountChanges, Credentials, Me, Profile, ProfileChanges, Registration, Token
from forum_backend.domain.errors import Forbidden
from forum_backend.queries import profiles as profile_queries
from forum_backend.services import accounts, profiles
from forum_backend.services.crossing import in_service_thread

router = Router(tags=["accounts"])


@router.post("/auth/register", response={201: Me}, summary="Register")
async def register(request: HttpRequest, new: Registration) -> HttpResponse:
    """Make an account. `POST /auth/token` then gives a token."""
    count_attempt(request, new.username)
    return answer(await in_service_thread(_registered, new), status=201)


def _registered(new: Registration) -> dict[str, object]:
    user = accounts.register(**new.model_dump(), now=timezone.now())
    return profile_queries.own_account(user.pk)


@router.post("/auth/token", response={201: Token}, summary="Get a token")
async def exchange(request: HttpRequest, credentials: Credentials) -> HttpResponse:
    """Exchange a username and password for a bearer token."""
    count_attempt(request, credentials.username)
    token = await in_service_thread(accounts.exchange_password, **credentials.model_dump(), now=timezone.now())
    return answer({"token": token}, status=201)


@router.post("/auth/token/revoke", response={204: None}, auth=signed_in, summary="Revoke the token")
async def revoke(request: HttpRequest) -> HttpResponse:
    """Revoke the token that this request is made with."""
    await in_service_thread(accounts.revoke_token, token=token_of(request))
    return nothing()


@router.get("/me", response=Me, auth=signed_in, summary="My account")
async def me(request: HttpRequest) -> HttpResponse:
    return answer(await in_service_thread(profile_queries.own_account, account_of(request).id))


@router.patch("/me", response=Me, auth=signed_in, summary="Change my account")
async def change_me(request: HttpRequest, changes: AccountChanges) -> HttpResponse:
    user = account_of(request).id
    given = changes.model_dump(exclude_unset=True)
    return answer(await in_service_thread(accounts.update_account, user_id=user, changes=given))


@router.get("/me/profile", response=Profile, auth=signed_in, summary="My profile")
async def my_profile(request: HttpRequest) -> HttpResponse:
    return answer(await in_service_thread(profile_queries.profile_of_id, account_of(request).id))


@router.patch("/me/profile", response=Profile, auth=signed_in, summary="Change my profile")
async def change_my_profile(request: HttpRequest, changes: ProfileChanges) -> HttpResponse:
    return await _change_profile(account_of(request).id, changes)


@router.get("/users/{username}", response=Profile, summary="A user's profile")
async def profile(request: HttpRequest, username: str) -> HttpResponse:
    return answer(await in_service_thread(profile_queries.profile_by, username=username))


@router.patch("/users/{username}", response=Profile, auth=signed_in, summary="Change my profile, by name")
async def change_profile(request: HttpRequest, username: str, changes: ProfileChanges) -> HttpResponse:
    account = account_of(request)
    if account.username.lower() != username.lower():
        raise Forbidden("This is the profile of somebody else")
    return await _change_profile(account.id, changes)


async def _change_profile(user_id: int, changes: ProfileChanges) -> HttpResponse:
    given = changes.model_dump(exclude_unset=True)
    changed = await in_service_thread(profiles.update_profile, user_id=user_id, changes=given, now=timezone.now())
    return answer(changed)
