"""Accounts, tokens and the commands that make them."""

import io
import threading

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.utils import timezone

from forum_backend.data.control.accounts.models import AccountOutbox, User
from forum_backend.domain.errors import NotAuthenticated, Overloaded
from forum_backend.queries.profiles import author_cards, forget_card
from forum_backend.services import accounts
from forum_backend.services.passwords import hashing_place
from forum_backend.services.profiles import update_profile
from tests.factories import make_user, unique


def run(*words: str) -> str:
    printed = io.StringIO()
    call_command(*words, stdout=printed)
    return printed.getvalue().strip()


def test_create_token_makes_the_user_and_prints_the_token_only() -> None:
    name = unique("cli")
    token = run("create_token", name, "--staff")
    account = accounts.user_of_token(token)
    assert account is not None
    assert (account.username, account.is_staff) == (name, True)
    assert AccountOutbox.objects.filter(user_id=account.id).count() == 1
    again = run("create_token", name)
    assert again != token
    known = accounts.user_of_token(again)
    assert known is not None
    assert known.id == account.id
    with pytest.raises(CommandError):
        run("create_token", "no spaces please")


def test_ensure_staff_takes_its_password_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    name = unique("staff")
    with pytest.raises(CommandError):
        run("ensure_staff", "--username", name)
    for password in ("first-of-two-passwords", "second-of-two-passwords"):
        monkeypatch.setenv("STAFF_PASSWORD", password)
        assert password not in run("ensure_staff", "--username", name)
        token = accounts.exchange_password(username=name, password=password, now=timezone.now())
        account = accounts.user_of_token(token)
        assert account is not None
        assert account.is_staff
    with pytest.raises(NotAuthenticated):
        accounts.exchange_password(username=name, password="first-of-two-passwords", now=timezone.now())


def test_a_closed_account_opens_nothing() -> None:
    user = make_user()
    token = accounts.create_token(user=user, now=timezone.now())
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert accounts.user_of_token(token) is None


def test_two_registrations_of_one_name_at_once_make_one_account() -> None:
    name, outcomes = unique("race"), []

    def register(spelled: str) -> None:
        try:
            accounts.register(username=spelled, password="a-kettle-of-fish", now=timezone.now())
            outcomes.append("made")
        except Exception as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=register, args=(spelled,)) for spelled in (name, name.upper())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["AlreadyTaken", "made"]


def test_author_cards_take_the_profile_or_the_account() -> None:
    named, bare = make_user(), User.objects.create(username=unique("bare"), joined_at=timezone.now())
    update_profile(user_id=named.pk, changes={"display_name": "Named"}, now=timezone.now())
    cards = author_cards([named.pk, bare.pk, 2**60])
    assert cards == {
        named.pk: {"username": named.username, "display_name": "Named", "avatar": ""},
        bare.pk: {"username": bare.username, "display_name": bare.username, "avatar": ""},
    }
    forget_card(named.pk)
    assert author_cards([named.pk]) == {named.pk: cards[named.pk]}


def test_a_name_is_found_in_any_case_and_by_an_index() -> None:
    user = make_user(username=unique("Cased"))
    assert User.objects.named(user.username.upper()).get() == user
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        assert "account_username_unique" in User.objects.named("anybody").explain()


def test_passwords_are_hashed_in_a_few_threads_at_once_and_older_hashes_count() -> None:
    user = make_user()
    user.password = Argon2PasswordHasher().encode("a-kettle-of-fish", "salt-of-long-ago")
    user.save(update_fields=["password"])
    assert accounts.authenticate(username=user.username, password="a-kettle-of-fish") == user
    with hashing_place(), hashing_place(), pytest.raises(Overloaded), hashing_place(0):
        raise AssertionError("a third place was given")
    assert accounts.authenticate(username=user.username, password="a-kettle-of-fish") == user
