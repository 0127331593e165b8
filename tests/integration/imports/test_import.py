"""What an import makes of an export: rows, nesting, states, counts; and a report of the rest."""

import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from django.utils import timezone

from forum_backend.data.shard.models import ForumCounters
from forum_backend.domain.errors import NotFound
from forum_backend.services.import_disqus import batches
from tests.factories import make_forum, make_post, make_thread
from tests.integration.imports.exports import (
    export,
    exported,
    import_into,
    imported_events,
    parents_of,
    post,
    posts_of,
    reasons,
    thread,
    threads_of,
)
from tests.integration.moves.driving import drive_to_end
from tests.processes import eventually, relay

SAMPLES = Path(__file__).parent.parent.parent / "samples"
SMALL = BytesIO((SAMPLES / "disqus_small.xml").read_bytes())
BROKEN = BytesIO((SAMPLES / "disqus_broken.xml").read_bytes())


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_RECORDS", 3)


def test_a_small_export_comes_in() -> None:
    forum = make_forum().pk
    report = import_into(forum, SMALL)
    assert (report.threads_taken, report.posts_taken, report.left_out, report.changed) == (2, 2, 2, 0)
    assert reasons(report) == {22: "a thread with neither link nor title nor id", 32: "no createdAt"}
    tomatoes, undated = threads_of(forum)
    assert (tomatoes.title, tomatoes.link) == ("Tomatoes & beans", "https://garden.example/tomatoes?a=1&b=2")
    assert (tomatoes.identifier, tomatoes.dsq_id, tomatoes.is_closed) == ("tomatoes", 20, True)
    assert (tomatoes.guest_name, tomatoes.guest_username, tomatoes.author_id) == ("Ada", "ada", None)
    assert undated.title == "https://garden.example/undated"
    ripe, escaped = posts_of(forum)
    assert ripe.body == ripe.html == "<p>Ripe in July. Привет, 世界 🙂</p>"
    assert ripe.created_at.isoformat() == "2019-07-01T08:00:00+00:00"
    assert (ripe.guest_name, ripe.guest_username) == ("A guest", "")
    assert (escaped.is_deleted, escaped.is_spam, escaped.parent_id) == (True, True, ripe.pk)
    assert (tomatoes.posts_count, tomatoes.last_post_at) == (1, ripe.created_at)
    assert undated.last_post_at == undated.created_at


def test_what_could_run_is_not_shown() -> None:
    forum = make_forum().pk
    message = '<p onclick="x()">Hi <script>alert(1)</script><a href="javascript:x()">there</a></p>'
    import_into(forum, export(thread(1), post(1, 1, message=message)))
    (row,) = posts_of(forum)
    assert row.body == message
    assert row.html == '<p>Hi <a rel="nofollow noopener ugc">there</a></p>'


def test_a_second_import_takes_nothing() -> None:
    forum = make_forum().pk
    import_into(forum, SMALL)
    before, events = posts_of(forum), imported_events(forum)
    report = import_into(forum, SMALL)
    assert (report.threads_taken, report.posts_taken) == (0, 0)
    assert (report.threads_already_there, report.posts_already_there) == (2, 2)
    assert posts_of(forum) == before
    assert imported_events(forum) == events
    assert threads_of(forum)[0].posts_count == 1


def test_also_after_a_move() -> None:
    from forum_backend.services.moves import request_move

    forum = make_forum("shard_00").pk
    import_into(forum, SMALL)
    before = parents_of(forum)
    drive_to_end(request_move(forum_id=forum, target="shard_01", requested_by=None, now=timezone.now()))
    report = import_into(forum, export(thread(20), post(30, 20), post(31, 20), post(40, 20, 30)))
    assert (report.posts_taken, report.posts_already_there) == (1, 2)
    assert parents_of(forum) == {**before, 40: 30}


def test_an_import_that_was_cut_off_is_finished_by_the_next(small_batches: None) -> None:
    forum = make_forum().pk
    records = [thread(1), *(post(n, 1, n - 1 if n > 1 else None) for n in range(1, 21))]
    torn = BytesIO(export(*records).getvalue()[:-400])
    with pytest.raises(Exception, match="the file ends too early"):
        import_into(forum, torn)
    taken = len(posts_of(forum))
    assert 0 < taken < 20
    report = import_into(forum, export(*records))
    assert (report.posts_already_there, report.posts_taken) == (taken, 20 - taken)
    assert len(posts_of(forum)) == 20 == threads_of(forum)[0].posts_count


def test_what_is_unknown_is_reported() -> None:
    forum = make_forum().pk
    file = export(
        thread(1), thread(2), post(1, 1), post(2, 99), post(3, 1, 98), post(4, 2, 1), post(5, 1, 3), post(6, 1, 2)
    )
    report = import_into(forum, file)
    assert parents_of(forum) == {1: None, 3: None, 4: None, 5: 3, 6: None}
    assert (report.posts_taken, report.left_out, report.changed) == (5, 1, 3)
    assert reasons(report) == {
        2: "its thread 99 is unknown",
        3: "its parent 98 is unknown: taken as a first post",
        4: "its parent 1 is in another thread: taken as a first post",
        6: "its parent 2 is unknown: taken as a first post",
    }
    assert all(remark.line > 1 for remark in report.problems)


def test_posts_that_answer_themselves_come_in() -> None:
    forum = make_forum().pk
    report = import_into(forum, export(thread(1), post(1, 1, 1), post(2, 1, 3), post(3, 1, 2)))
    assert (report.posts_taken, report.changed) == (3, 2)
    assert parents_of(forum) == {1: None, 2: None, 3: 2}


@pytest.mark.parametrize("seed", range(6))
def test_the_order_of_the_file_does_not_matter(small_batches: None, seed: int) -> None:
    forum = make_forum().pk
    chance = random.Random(seed)
    parents = {n: chance.choice([None, *range(max(1, n - 5), n)]) for n in range(1, 25)}
    records = [thread(1), *(post(n, 1, parent) for n, parent in parents.items())]
    chance.shuffle(records)
    report = import_into(forum, export(*records))
    assert (report.posts_taken, report.left_out, report.changed) == (24, 0, 0)
    assert parents_of(forum) == parents


def test_of_two_with_one_number_the_first_is_taken() -> None:
    forum = make_forum().pk
    report = import_into(forum, export(thread(1), post(1, 1, message="first"), post(1, 1, message="second")))
    assert (report.posts_taken, report.posts_already_there) == (1, 1)
    assert [row.body for row in posts_of(forum)] == ["first"]


def test_deep_trees_stay_indexable() -> None:
    forum = make_forum().pk
    import_into(forum, export(thread(1), *(post(n, 1, n - 1 if n > 1 else None) for n in range(1, 131))))
    assert parents_of(forum)[130] == 129
    assert len(posts_of(forum)[-1].path) == 100


def test_long_names_are_cut_and_reported() -> None:
    forum = make_forum().pk
    long_thread = thread(1).replace("Thread 1", "T" * 400)
    report = import_into(forum, export(long_thread, post(1, 1).replace("Person 1", "P" * 300)))
    assert (len(threads_of(forum)[0].title), len(posts_of(forum)[0].guest_name)) == (300, 200)
    assert report.changed == 2


def test_two_imports_at_once_take_each_record_once(small_batches: None) -> None:
    forum = make_forum().pk
    records = [thread(1), *(post(n, 1, n // 2 or None) for n in range(1, 61))]
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(import_into, forum, export(*records)) for _ in range(2)]
        reports = [future.result(timeout=60) for future in running]
    assert sum(report.posts_taken for report in reports) == 60 == len(posts_of(forum))
    assert parents_of(forum) == {n: n // 2 or None for n in range(1, 61)}


def test_a_forum_keeps_moving_during_its_import(small_batches: None) -> None:
    from forum_backend.services.moves import request_move

    forum = make_forum("shard_00").pk
    records = [thread(1), *(post(n, 1, n - 1 if n > 1 else None) for n in range(1, 301))]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(import_into, forum, export(*records))
        for target in itertools.islice(itertools.cycle(("shard_01", "shard_02", "shard_00")), 6):
            drive_to_end(request_move(forum_id=forum, target=target, requested_by=None, now=timezone.now()))
        report = running.result(timeout=60)
    assert report.posts_taken == 300
    assert parents_of(forum) == {n: n - 1 if n > 1 else None for n in range(1, 301)}


def test_its_own_export_brings_nothing_new_to_a_forum() -> None:
    forum = make_forum().pk
    import_into(forum, SMALL)
    native = make_thread(forum)
    make_post(native, parent=make_post(native))
    report = import_into(forum, exported(forum))
    assert (report.threads_taken, report.posts_taken, report.left_out) == (0, 0, 0)
    assert (report.threads_already_there, report.posts_already_there) == (3, 4)


def test_counters_count_what_readers_see() -> None:
    placement = make_forum()
    file = export(
        thread(1), thread(2, deleted=True), post(1, 1), post(2, 1, 1, deleted=True), post(3, 1, 2, spam=True),
        post(4, 1, 3), post(5, 2),
    )  # fmt: skip
    import_into(placement.pk, file)
    assert imported_events(placement.pk) == [{"threads": 1, "posts": 2}]
    counters = ForumCounters.objects.using(placement.shard_id).filter(pk=placement.pk)
    with relay("--no-consumers"):
        eventually(lambda: counters.filter(last_number=1, threads_count=1, posts_count=2).exists())
    seen, hidden = threads_of(placement.pk)
    assert (seen.posts_count, hidden.posts_count) == (2, 1)
    assert counters.get().last_post_at == seen.last_post_at == posts_of(placement.pk)[3].created_at


def test_a_broken_file_is_read_leniently_on_request() -> None:
    forum = make_forum().pk
    with pytest.raises(Exception, match="line 1, column 1"):
        import_into(forum, BROKEN)
    report = import_into(forum, BROKEN, lenient=True)
    assert (report.threads_taken, report.posts_taken, report.left_out) == (1, 2, 4)
    assert {row.dsq_id for row in posts_of(forum)} == {30, 33}


def test_a_deleted_forum_takes_nothing() -> None:
    from forum_backend.services.accounts import Account
    from forum_backend.services.forums import delete_forum

    placement = make_forum()
    owner = Account(id=placement.owner_id, username="x", is_staff=False)
    delete_forum(forum_id=placement.pk, account=owner, now=timezone.now())
    with pytest.raises(NotFound):
        import_into(placement.pk, SMALL)
