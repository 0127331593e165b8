"""Forms: sent twice, filled in wrongly, by the wrong people, without the token, and where they lead."""

from typing import Any

import pytest

from forum_backend.data.control.accounts.models import User
from forum_backend.data.shard.models import Post, Thread
from tests import factories
from tests.integration.web.browser import PASSWORD, Browser


def test_a_form_sent_twice_makes_one_post(browser: Browser) -> None:
    thread = factories.make_thread(factories.make_forum().forum_id)
    browser.sign_in(factories.make_user())
    fields = {**browser.hidden(f"/t/{thread.pk}/"), "body": "Once", "parent": ""}
    answers = [browser.client.post(f"/t/{thread.pk}/reply", fields) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert answers[0]["Location"] == answers[1]["Location"]
    assert Post.objects.filter(thread=thread).count() == 1
    changed = browser.client.post(f"/t/{thread.pk}/reply", {**fields, "body": "Other words"})
    assert changed.status_code == 422
    assert "Other words" in changed.content.decode()


def test_a_thread_sent_twice_is_one_thread(browser: Browser) -> None:
    forum = factories.make_forum()
    browser.sign_in(factories.make_user())
    fields = {**browser.hidden(f"/f/{forum.slug}/new"), "title": "Once", "body": "Text"}
    answers = [browser.client.post(f"/f/{forum.slug}/new", fields) for _ in range(2)]
    assert answers[0]["Location"] == answers[1]["Location"]
    assert Thread.objects.in_forum(forum.forum_id).count() == 1


def test_errors_stand_beside_the_field_and_the_text_is_kept(browser: Browser) -> None:
    forum = factories.make_forum()
    browser.sign_in(factories.make_user())
    empty = browser.send(f"/f/{forum.slug}/new", {"title": "", "body": "Long text that took an hour"})
    page = empty.content.decode()
    assert empty.status_code == 422
    assert "Long text that took an hour" in page
    assert 'aria-invalid="true"' in page
    assert 'id="id_title_error"' in page
    taken = browser.send("/new-forum", {"name": "Twice", "slug": forum.slug, "description": ""})
    assert "is taken already" in taken.content.decode()
    assert 'value="Twice"' in taken.content.decode()


def test_a_closed_thread_keeps_the_text_of_a_late_reply(browser: Browser) -> None:
    owner = factories.make_user()
    thread = factories.make_thread(factories.make_forum(owner=owner).forum_id)
    browser.sign_in(owner)
    fields = browser.hidden(f"/t/{thread.pk}/")
    browser.client.post(f"/t/{thread.pk}/manage", {**fields, "do": "close"})
    late = browser.client.post(f"/t/{thread.pk}/reply", {**fields, "body": "Too late", "parent": ""})
    assert late.status_code == 422
    assert "The thread is closed" in late.content.decode()


@pytest.mark.parametrize("path", ["/new-forum", "/me", "/status/", "/p/{post}/edit", "/f/{slug}/new"])
def test_strangers_are_led_to_the_sign_in_page_and_back(browser: Browser, path: str) -> None:
    forum = factories.make_forum()
    post = factories.make_post(factories.make_thread(forum.forum_id))
    path = path.format(post=post.pk, slug=forum.slug)
    response = browser.get(path)
    assert response.status_code == 302
    assert response["Location"] == f"/sign-in?next={path.replace('/', '%2F')}"


def test_who_may_not_is_refused(browser: Browser) -> None:
    author = factories.make_user()
    forum = factories.make_forum()
    thread = factories.make_thread(forum.forum_id, author=author)
    post = factories.make_post(thread, author_id=author.pk)
    browser.sign_in(factories.make_user())
    page = browser.html(f"/t/{thread.pk}/")
    assert f"/p/{post.pk}/edit" not in page
    assert "Manage this thread" not in page
    for path in (f"/p/{post.pk}/edit", f"/p/{post.pk}/delete", f"/t/{thread.pk}/delete", f"/f/{forum.slug}/edit"):
        assert browser.get(path).status_code == 403, path
    fields = browser.hidden(f"/t/{thread.pk}/")
    for path, more in (
        (f"/p/{post.pk}/edit", {"body": "mine now"}),
        (f"/p/{post.pk}/delete", {}),
        (f"/t/{thread.pk}/delete", {}),
        (f"/t/{thread.pk}/manage", {"do": "close"}),
        ("/status/move", {"forum": forum.slug, "target": "shard_00"}),
    ):
        assert browser.client.post(path, {**fields, **more}).status_code == 403, path
    post.refresh_from_db()
    assert (post.body, post.is_deleted) == ("A post", False)


def test_a_form_without_its_token_is_refused_with_a_page(browser: Browser) -> None:
    response = browser.client.post("/sign-in", {"username": "x", "password": "y"})
    assert response.status_code == 403
    assert "Please send the form again" in response.content.decode()


@pytest.mark.parametrize(
    ("address", "leads_to"),
    [
        ("/new-forum", "/new-forum"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_signing_in_leads_back_into_this_site_only(browser: Browser, member: User, address: str, leads_to: str) -> None:
    fields = {"username": member.username.upper(), "password": PASSWORD, "next": address}
    assert browser.send("/sign-in", fields)["Location"] == leads_to


def test_a_wrong_password_is_not_said_to_be_one(browser: Browser, member: User) -> None:
    wrong = browser.send("/sign-in", {"username": member.username, "password": "nonsense-nonsense"})
    unknown = browser.send("/sign-in", {"username": factories.unique("nobody"), "password": "nonsense-nonsense"})
    for response in (wrong, unknown):
        assert response.status_code == 422
        assert "The username or the password is wrong" in response.content.decode()
        assert "nonsense-nonsense" not in response.content.decode()


def test_guessing_a_password_is_slowed_down(browser: Browser, member: User, settings: Any) -> None:
    settings.SIGN_IN_ATTEMPTS_PER_MINUTE = 30
    for _ in range(3):
        wrong = browser.send("/sign-in", {"username": member.username, "password": "nonsense-nonsense"})
        assert "The username or the password is wrong" in wrong.content.decode()
    late = browser.send("/sign-in", {"username": member.username, "password": PASSWORD})
    assert late.status_code == 422
    assert "Try again in" in late.content.decode()


@pytest.mark.parametrize("parent", ["9" * 5_000, "9" * 19, "x"])
def test_a_parent_that_is_no_id_is_refused(browser: Browser, parent: str) -> None:
    thread = factories.make_thread(factories.make_forum().forum_id)
    browser.sign_in(factories.make_user())
    fields = {**browser.hidden(f"/t/{thread.pk}/"), "body": "A reply", "parent": parent}
    assert browser.client.post(f"/t/{thread.pk}/reply", fields).status_code == 422
