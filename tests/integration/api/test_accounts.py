"""Registration, tokens, own account, profiles; and what of them nobody else is shown."""

from collections.abc import Callable

import httpx
import pytest

from forum_backend.data.control.accounts.models import AccountOutbox, ApiToken, User
from forum_backend.data.profiles.models import Profile
from tests.factories import make_user, unique
from tests.integration.api.asking import made, problem
from tests.processes import eventually, relay

PASSWORD = "plain-old-teapot-7"


def register(client: httpx.Client, **fields: str) -> httpx.Response:
    return client.post("/auth/register", json={"username": unique("reg"), "password": PASSWORD, **fields})


def test_registering_and_signing_in(client: httpx.Client) -> None:
    account = made(register(client, email="somebody@example.org", display_name="Σοφία"))
    assert account["email"] == "somebody@example.org"
    assert account["display_name"] == "Σοφία"
    answer = client.post("/auth/token", json={"username": account["username"].upper(), "password": PASSWORD})
    bearer = {"Authorization": f"Bearer {made(answer)['token']}"}
    assert client.get("/me", headers=bearer).json() == account
    assert client.post("/auth/token/revoke", headers=bearer).status_code == 204
    refused = client.get("/me", headers=bearer)
    problem(refused, 401)
    assert refused.headers["www-authenticate"].startswith("Bearer")


def test_a_registration_is_told_in_its_own_transaction_and_becomes_a_profile(client: httpx.Client) -> None:
    account = made(register(client))
    user = User.objects.get(username=account["username"])
    told = AccountOutbox.objects.filter(user=user, type="user.registered")
    assert told.count() == 1
    assert client.get(f"/users/{user.username}").json()["joined_at"] == account["joined_at"]
    assert not Profile.objects.filter(pk=user.pk).exists()
    with relay():
        eventually(lambda: Profile.objects.filter(pk=user.pk, username=user.username).exists())
        eventually(lambda: not told.exists())


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"username": "no spaces"}, "username"),
        ({"username": "x" * 41}, "username"),
        ({"username": "nul\x00"}, "username"),
        ({"password": "short"}, "password"),
        ({"password": "password"}, "password"),
        ({"email": "nobody"}, "email"),
        ({"is_staff": True}, "is_staff"),
        ({"display_name": "x" * 81}, "display_name"),
    ],
)
def test_a_registration_that_is_refused_names_the_field(client: httpx.Client, fields: dict, at_fault: str) -> None:
    assert at_fault in problem(register(client, **fields), 422)["fields"]


def test_a_name_is_taken_in_any_case(client: httpx.Client) -> None:
    name = made(register(client))["username"]
    problem(register(client, username=name.upper()), 409)


def test_wrong_passwords_and_unknown_names_are_told_apart_by_nobody(client: httpx.Client) -> None:
    name = made(register(client))["username"]
    wrong = problem(client.post("/auth/token", json={"username": name, "password": "wrong-one-here"}), 401)
    unknown = problem(client.post("/auth/token", json={"username": unique("no"), "password": "wrong-one-here"}), 401)
    assert wrong == unknown


def test_attempts_for_one_name_are_limited(client: httpx.Client) -> None:
    name = unique("limited")
    answers = [register(client, username=name, password="short") for _attempt in range(61)]
    assert {answer.status_code for answer in answers[:60]} == {422}
    problem(answers[60], 429)
    assert 1 <= int(answers[60].headers["retry-after"]) <= 60


def test_only_a_digest_of_a_token_is_kept(sign_in: Callable[..., httpx.Client]) -> None:
    ada = sign_in()
    token = ada.headers["authorization"].removeprefix("Bearer ")
    stored = ApiToken.objects.get(user=ada.user)
    assert token.encode() not in bytes(stored.digest)
    assert len(bytes(stored.digest)) == 32


@pytest.mark.parametrize("header", ["Bearer", "Basic YTpi", "Bearer nobody", "Bearer a b", "ééé"])
def test_what_is_no_token_is_refused(client: httpx.Client, header: str) -> None:
    problem(client.get("/me", headers={"Authorization": header.encode("latin1")}), 401)


def test_changing_ones_profile(sign_in: Callable[..., httpx.Client]) -> None:
    ada = sign_in()
    changed = ada.patch("/me/profile", json={"about": "I write.", "avatar": "https://example.org/a.png"})
    assert changed.status_code == 200
    assert changed.json() == ada.get("/me/profile").json() == ada.get(f"/users/{ada.user.username}").json()
    assert changed.json()["about"] == "I write."
    for bad in ({"avatar": "javascript:alert(1)"}, {"about": "x" * 2001}, {"points": 5}, {"about": "\x00"}):
        problem(ada.patch("/me/profile", json=bad), 422)
    problem(ada.patch(f"/users/{make_user().username}", json={"about": "not mine"}), 403)
    assert ada.patch(f"/users/{ada.user.username}", json={"display_name": "Ada"}).json()["display_name"] == "Ada"


def test_an_address_is_shown_to_its_owner_only(sign_in: Callable[..., httpx.Client], client: httpx.Client) -> None:
    ada = sign_in()
    assert ada.patch("/me", json={"email": "ada@example.org"}).json()["email"] == "ada@example.org"
    assert "example.org" not in client.get(f"/users/{ada.user.username}").text
    assert "example.org" not in sign_in(is_staff=True).get(f"/users/{ada.user.username}").text


@pytest.mark.parametrize("name", ["nobody-of-that-name", "x" * 300, "%00", "a%2Fb", "%F0%9F%98%80", "%FF"])
def test_unknown_users(client: httpx.Client, name: str) -> None:
    problem(client.get(f"/users/{name}"), 404)
