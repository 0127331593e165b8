"""An export brings a forum over: imported into an empty one, it gives an equal forum."""

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forum_backend.domain.disqus import PostRecord, ThreadRecord, read_export
from forum_backend.domain.errors import NotFound
from forum_backend.services import posts, threads
from forum_backend.services.accounts import Account
from tests.factories import make_forum, make_user
from tests.integration.imports.exports import (
    export,
    exported,
    import_into,
    post,
    posts_of,
    thread,
    threads_of,
)

NOW = datetime(2024, 2, 29, 12, 30, 45, tzinfo=UTC)
# What XML can carry: no control characters, no surrogates.
TEXT = st.lists(
    st.one_of(
        st.characters(exclude_categories=("Cs", "Cc", "Cn")), st.sampled_from([*"<>&\"'\n\t]🙂д世ش", "]]>", "<b>"])
    ),
    max_size=40,
).map("".join)


def picture(forum: int) -> list[Any]:
    """All that an export carries, by position instead of by id."""
    thread_rows, post_rows = threads_of(forum), posts_of(forum)
    thread_places = {row.pk: place for place, row in enumerate(thread_rows)}
    post_places = {row.pk: place for place, row in enumerate(post_rows)}
    return [
        *(
            (row.title, row.link, row.identifier, row.created_at, row.last_post_at, row.posts_count, row.is_closed,
             row.is_deleted, _author(row))
            for row in thread_rows
        ),
        *(
            (thread_places[row.thread_id], [post_places[step] for step in row.path], row.html, row.created_at,
             row.is_deleted, row.is_spam, _author(row), row.parent_id and post_places[row.parent_id])
            for row in post_rows
        ),
    ]  # fmt: skip


def _author(row: Any) -> tuple[str, str]:
    if row.author_id is None:
        return row.guest_name, row.guest_username
    return row.author.profile.display_name or row.author.username, row.author.username


def assert_comes_over(forum: int) -> int:
    """Export, import into an empty forum, compare; returns the new forum."""
    copy = make_forum().pk
    report = import_into(copy, exported(forum))
    assert (report.left_out, report.changed) == (0, 0)
    assert picture(copy) == picture(forum)
    return copy


def test_an_imported_forum_comes_over() -> None:
    forum = make_forum().pk
    file = export(
        thread(1), thread(2, deleted=True), thread(3),
        post(1, 1, deleted=True), post(2, 1, 1), post(3, 1, 2, spam=True), post(4, 1, 3),
        post(5, 2, message="Привет, 世界 شكرا 🙂"), post(6, 3, message="a ]]]]><![CDATA[> b &amp; <b>bold</b>"),
    )  # fmt: skip
    import_into(forum, file)
    assert "]]>" in posts_of(forum)[-1].body
    copy = assert_comes_over(forum)
    assert [row.body for row in posts_of(copy)] == [row.body for row in posts_of(forum)]
    assert [row.dsq_id for row in posts_of(copy)] == [1, 2, 3, 4, 5, 6]


def test_a_forum_written_here_comes_over() -> None:
    author, other = make_user(), make_user()
    forum = make_forum().pk
    opened = threads.create_thread(
        forum_id=forum, author_id=author.pk, title=" <Ünïcode> & ]]> ", body="# Head\n\n`a < b ]]>`", now=NOW
    )
    thread_id, first = int(opened["id"]), int(opened["post"]["id"])
    reply = int(
        posts.create_post(
            thread_id=thread_id, author_id=other.pk, body="> quote\n\n[link](https://example.org/?a=1&b=2 \"t\")",
            parent_id=first, now=NOW,
        )["id"]
    )  # fmt: skip
    posts.create_post(thread_id=thread_id, author_id=author.pk, body="~~gone~~ | x", parent_id=reply, now=NOW)
    account = Account(id=author.pk, username=author.username, is_staff=False)
    posts.delete_post(post_id=first, account=account, now=NOW)
    import_into(forum, export(thread(7), post(9, 7)))
    _count_as_the_relay_would(thread_id)
    copy = assert_comes_over(forum)
    assert_comes_over(copy)


def _count_as_the_relay_would(thread_id: int) -> None:
    from forum_backend.data.shard.models import Thread
    from forum_backend.domain.ids import forum_of
    from forum_backend.services.forum_write import forum_write

    forum_write(
        forum_of(thread_id),
        lambda forum: Thread.objects.using(forum.shard).filter(pk=thread_id).update(posts_count=2, last_post_at=NOW),
    )


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(TEXT, min_size=1, max_size=6), TEXT)
def test_any_text_comes_over(messages: list[str], title: str) -> None:
    forum, author = make_forum().pk, make_user().pk
    opened = threads.create_thread(forum_id=forum, author_id=author, title=f"t{title}", body="b", now=NOW)
    for message in messages:
        posts.create_post(thread_id=int(opened["id"]), author_id=author, body=f"m{message}", now=NOW)
    copy = make_forum().pk
    import_into(copy, exported(forum))
    assert [row.html for row in posts_of(copy)] == [row.html for row in posts_of(forum)]
    assert [row.title for row in threads_of(copy)] == [row.title for row in threads_of(forum)]


def test_an_edited_post_is_exported_as_readers_see_it() -> None:
    placement = make_forum()
    import_into(placement.pk, export(thread(1), post(1, 1, message="<p>before</p>")))
    owner = Account(id=placement.owner_id, username="x", is_staff=False)
    posts.update_post(post_id=posts_of(placement.pk)[0].pk, account=owner, body="*after*", now=NOW)
    (record,) = [found for found in records(exported(placement.pk)) if isinstance(found, PostRecord)]
    assert record.message == "<p><em>after</em></p>"


def test_no_two_rows_get_one_number() -> None:
    forum = make_forum().pk
    own = int(threads.create_thread(forum_id=forum, author_id=1, title="t", body="b", now=NOW)["post"]["id"])
    import_into(forum, export(thread(1), post(own, 1), post(2, 1, own)))
    found = records(exported(forum))
    numbers = [record.dsq_id for record in found if isinstance(record, PostRecord)]
    assert len(numbers) == len(set(numbers)) == 3
    assert own in numbers
    (reply,) = [record for record in found if isinstance(record, PostRecord) and record.dsq_id == 2]
    assert reply.parent == own


def records(stream: BytesIO) -> list[Any]:
    stream.seek(0)
    return list(read_export(stream))


def test_an_empty_forum_is_a_whole_export() -> None:
    found = records(exported(make_forum().pk))
    assert not [record for record in found if isinstance(record, (ThreadRecord, PostRecord))]


def test_an_unknown_forum_is_not_found() -> None:
    with pytest.raises(NotFound):
        exported(8_000_000)
