"""Every page, and the whole way of a newcomer without JavaScript."""

import re

import pytest

from forum_backend.data.shard.models import Post
from tests import factories
from tests.integration.web.browser import PASSWORD, Browser


def thread_of(location: str) -> str:
    found = re.match(r"/t/(\d+)/", location)
    assert found, location
    return found[1]


def post_of(location: str) -> str:
    return location.rpartition("#p-")[2]


def test_a_newcomer_joins_posts_edits_votes_and_deletes_without_scripts(browser: Browser) -> None:
    name = factories.unique("new")
    joined = browser.send("/sign-up", {"username": name, "password": PASSWORD, "display_name": "Neu & <b>"})
    assert (joined.status_code, joined["Location"]) == (303, "/")
    slug = factories.unique("made")
    made = browser.send("/new-forum", {"name": "Made here", "slug": slug, "description": "About"})
    assert made["Location"] == f"/f/{slug}/"

    opened = browser.send(f"/f/{slug}/new", {"title": "First thread", "body": "Hello **there**"})
    assert opened.status_code == 303
    thread, first = thread_of(opened["Location"]), post_of(opened["Location"])
    assert "<strong>there</strong>" in browser.html(f"/t/{thread}/")

    replied = browser.send(f"/t/{thread}/?reply={first}", {"body": "A reply", "parent": first}, to=f"/t/{thread}/reply")
    assert replied.status_code == 303
    reply = post_of(replied["Location"])
    assert Post.objects.get(pk=int(reply)).parent_id == int(first)
    assert f'data-post="{reply}" data-depth="1"' in browser.html(f"/t/{thread}/")

    edited = browser.send(f"/p/{reply}/edit", {"body": "A *better* reply"})
    assert post_of(edited["Location"]) == reply
    voted = browser.send(f"/t/{thread}/", {"value": "1"}, to=f"/p/{first}/vote")
    assert voted.status_code == 303
    page = browser.html(f"/t/{thread}/")
    assert "<em>better</em>" in page
    assert "<span data-edited>edited" in page
    assert 'value="0" data-direction="1" aria-pressed="true"' in page

    browser.send(f"/p/{reply}/delete", {})
    page = browser.html(f"/t/{thread}/")
    assert "better" not in page
    assert "This post was deleted." in page

    assert browser.client.post("/sign-out", browser.hidden(f"/t/{thread}/")).status_code == 303
    assert "Sign in</a> or" in browser.html(f"/t/{thread}/")


def test_every_page_is_there(browser: Browser) -> None:
    owner = factories.make_user(is_staff=True)
    forum = factories.make_forum(owner=owner)
    thread = factories.make_thread(forum.forum_id, title="日本語のタイトル", author=owner)
    post = factories.make_post(thread, author_id=owner.pk)
    public = ["/", f"/f/{forum.slug}/", f"/t/{thread.pk}/", f"/t/{thread.pk}/any-words", f"/u/{owner.username}/"]
    public += [f"/t/{thread.pk}/?order={order}" for order in ("oldest", "newest", "best", "nested", "nonsense")]
    for path in [*public, "/sign-in", "/sign-up", f"/t/{thread.pk}/?after=1&before=x", "/?after=nonsense"]:
        response = browser.get(path)
        assert response.status_code == 200, path
        assert "default-src 'self'" in response["Content-Security-Policy"]
        assert 'style="' not in response.content.decode(), "the policy would not let it through"
    browser.sign_in(owner)
    private = [f"/f/{forum.slug}/new", f"/f/{forum.slug}/edit", f"/p/{post.pk}/edit", f"/p/{post.pk}/delete"]
    for path in [*public, *private, f"/t/{thread.pk}/delete", "/new-forum", "/me", "/status/"]:
        assert browser.get(path).status_code == 200, path
    assert browser.get(f"/p/{post.pk}/")["Location"] == f"/t/{thread.pk}/#p-{post.pk}"


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/f/no-such-forum/", "/t/1/", "/t/99999999999999999999/", "/t/8388609123456/", "/p/0/", "/u/no.such/"],
)
def test_what_is_not_there_is_a_page_that_says_so(browser: Browser, path: str) -> None:
    response = browser.get(path)
    assert response.status_code == 404
    assert "To all forums" in response.content.decode()


def test_what_people_write_is_never_run(browser: Browser) -> None:
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    user = factories.make_user()
    browser.sign_in(user)
    browser.send("/me", {"display_name": evil, "about": evil})
    slug = factories.unique("evil")
    browser.send("/new-forum", {"name": evil, "slug": slug, "description": evil})
    body = f"{evil} [x](javascript:alert(3)) [y](data:text/html,x) ![z](https://track.example/p.png)"
    opened = browser.send(f"/f/{slug}/new", {"title": evil, "body": body})
    thread, post = thread_of(opened["Location"]), post_of(opened["Location"])
    for path in (f"/t/{thread}/", f"/f/{slug}/", f"/u/{user.username}/", "/", "/me", f"/p/{post}/edit"):
        page = browser.html(path)
        assert "<script>" not in page, path
        assert "<img src=x" not in page, path
        assert 'href="javascript:' not in page, path
        assert "track.example" not in page or path.endswith("edit"), path


def test_pages_of_a_long_thread_join_without_gap_or_double(browser: Browser) -> None:
    forum = factories.make_forum()
    thread = factories.make_thread(forum.forum_id)
    posts = [factories.make_post(thread, body=f"number {number}") for number in range(120)]
    for number in range(3):
        factories.make_post(thread, body=f"below {number}", parent=posts[0])
    for order in ("nested", "oldest", "newest", "best"):
        seen, path = [], f"/t/{thread.pk}/?order={order}"
        while path:
            page = browser.html(path)
            seen.append(re.findall(r'data-post="(\d{2,})"', page))
            following = re.search(r'rel="next" href="([^"]+)"', page)
            path = f"/t/{thread.pk}/{following[1].replace('&amp;', '&')}" if following else ""
        flat = [post for page in seen for post in page]
        assert [len(page) for page in seen] == [50, 50, 23]
        assert len(set(flat)) == 123
        previous = re.search(r'rel="prev" href="([^"]+)"', page)
        assert previous
        back = browser.html(f"/t/{thread.pk}/{previous[1].replace('&amp;', '&')}")
        assert re.findall(r'data-post="(\d{2,})"', back) == seen[1]
    located = browser.get(f"/p/{posts[100].pk}/")["Location"]
    assert f'id="p-{posts[100].pk}"' in browser.html(located)


def test_threads_go_on_page_after_page_with_pinned_ones_first(browser: Browser) -> None:
    owner = factories.make_user()
    forum = factories.make_forum(owner=owner)
    threads = [factories.make_thread(forum.forum_id, title=f"thread {number}") for number in range(65)]
    browser.sign_in(owner)
    assert browser.send(f"/t/{threads[3].pk}/", {"do": "pin"}, to=f"/t/{threads[3].pk}/manage").status_code == 303
    seen: list[str] = []
    path = f"/f/{forum.slug}/"
    while path:
        page = browser.html(path)
        seen += re.findall(r'data-thread="(\d+)"', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        path = f"/f/{forum.slug}/{following[1]}" if following else ""
    others = [str(thread.pk) for thread in reversed(threads) if thread != threads[3]]
    assert seen == [str(threads[3].pk), *others]
