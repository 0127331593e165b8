"""A good history is found good; each way to spoil it is found, by its name."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.history.observed import ForumState, Observed, Place, Row, Sample, User
from tests.history.records import History, Kind, Status
from tests.history.verdict import judge

FORUM, THREAD = 7, 1007
ANNA, BERT = 1, 2


def good_history() -> History:
    """Anna writes three posts, changes the second and deletes the third; Bert votes; his post may be there."""
    history = History()
    for number, name in enumerate(("a1", "a2", "a3"), 1):
        history.begin("anna", Kind.INSERT, name, f"{name} first").end(Status.DONE, post=number)
    history.begin("anna", Kind.EDIT, "a2", "a2 again").end(Status.DONE)
    history.begin("anna", Kind.DELETE, "a3").end(Status.DONE)
    history.begin("bert", Kind.VOTE, "a1", "-1").end(Status.DONE)
    history.begin("bert", Kind.VOTE, "a1", "1").end(Status.DONE)
    history.begin("bert", Kind.VOTE, "a3", "1").end(Status.FAILED)
    history.begin("bert", Kind.INSERT, "b1", "b1 first").end(Status.UNKNOWN)
    return history


def good_end() -> Observed:
    created = [(number, "post.created", number) for number in (1, 2, 3)]
    state = ForumState(
        forum=FORUM,
        owners=["shard_01"],
        posts=[
            Row(1, THREAD, ANNA, "a1 first", False, 1),
            Row(2, THREAD, ANNA, "a2 again", False, 0),
            Row(3, THREAD, ANNA, "a3 first", True, 0),
        ],
        votes=[(1, BERT, 1)],
        thread_counts={THREAD: 2},
        last_number=5,
        threads_count=1,
        posts_count=2,
        events=[*created, (4, "post.deleted", 3), (5, "post.voted", 1)],
    )
    users = {"anna": User(ANNA, 2, 1), "bert": User(BERT, 0, 0)}
    samples = [
        Sample(FORUM, (Place("shard_00", "owner", 1, "x"),)),
        Sample(FORUM, (Place("shard_00", "fenced", 1, "y"), Place("shard_01", "incoming", 2, "y"))),
        Sample(FORUM, (Place("shard_00", "departed", 1, "z"), Place("shard_01", "owner", 2, "z"))),
    ]
    return Observed([state], users, {THREAD: [1, 2, 3]}, samples)


def test_a_good_history_is_good() -> None:
    verdict = judge(good_history(), good_end())
    assert verdict.is_good, str(verdict)
    assert str(verdict).startswith("Good: 0 lost, 0 doubled, 0 back, 0 error; 9 operations, 7 done")


def test_what_may_have_happened_may_be_there() -> None:
    end = good_end()
    add(end, Row(4, THREAD, BERT, "b1 first", False, 0))
    assert judge(good_history(), end).is_good


def add(end: Observed, row: Row) -> None:
    """A post with all that belongs to it."""
    (state,) = end.forums
    state.posts.append(row)
    state.last_number += 1
    state.events.append((state.last_number, "post.created", row.id))
    state.thread_counts[THREAD] += 1
    state.posts_count += 1
    next(user for user in end.users.values() if user.id == row.author).posts_count += 1
    end.pages[THREAD].append(row.id)


def lose_row(end: Observed) -> None:
    del end.forums[0].posts[0]


def lose_edit(end: Observed) -> None:
    end.forums[0].posts[1] = replace(end.forums[0].posts[1], body="a2 first")


def double_row(end: Observed) -> None:
    add(end, Row(9, THREAD, ANNA, "a1 first", False, 0))


def invent_row(end: Observed) -> None:
    add(end, Row(9, THREAD, ANNA, "x9 from nowhere", False, 0))


def bring_back(end: Observed) -> None:
    end.forums[0].posts[2] = replace(end.forums[0].posts[2], is_deleted=False)


def lose_vote(end: Observed) -> None:
    end.forums[0].votes.clear()


def double_vote(end: Observed) -> None:
    end.forums[0].votes.append((1, BERT, 1))


def keep_old_vote(end: Observed) -> None:
    end.forums[0].votes[:] = [(1, BERT, -1)]


def leave_gap(end: Observed) -> None:
    del end.forums[0].events[1]
    end.forums[0].events.append((6, "post.created", 2))


def number_twice(end: Observed) -> None:
    end.forums[0].events.append((5, "post.voted", 1))


def announce_twice(end: Observed) -> None:
    end.forums[0].events.append((6, "post.created", 1))
    end.forums[0].last_number = 6


def miscount_thread(end: Observed) -> None:
    end.forums[0].thread_counts[THREAD] += 1


def miscount_forum(end: Observed) -> None:
    end.forums[0].posts_count -= 1


def miscount_points(end: Observed) -> None:
    end.forums[0].posts[0] = replace(end.forums[0].posts[0], points=2)


def miscount_profile(end: Observed) -> None:
    end.users["anna"].posts_count += 1


def leave_unnumbered(end: Observed) -> None:
    end.forums[0].waiting = 1


def show_twice(end: Observed) -> None:
    end.pages[THREAD].append(1)


def hide_post(end: Observed) -> None:
    end.pages[THREAD].remove(1)


def own_nowhere(end: Observed) -> None:
    end.forums[0].owners.clear()


def own_twice(end: Observed) -> None:
    end.samples.append(Sample(FORUM, (Place("shard_00", "owner", 1, "a"), Place("shard_01", "owner", 2, "a"))))


def own_at_old_epoch(end: Observed) -> None:
    end.samples.append(Sample(FORUM, (Place("shard_02", "owner", 1, "a"),)))


def shrink_epoch(end: Observed) -> None:
    end.samples.append(Sample(FORUM, (Place("shard_01", "departed", 1, "a"),)))


SPOILED: dict[Callable[[Observed], None], str] = {
    lose_row: "lost",
    lose_edit: "lost",
    double_row: "doubled",
    invent_row: "invented",
    bring_back: "back",
    lose_vote: "lost",
    double_vote: "doubled",
    keep_old_vote: "lost",
    leave_gap: "gap",
    number_twice: "gap",
    announce_twice: "event",
    miscount_thread: "counter",
    miscount_forum: "counter",
    miscount_points: "counter",
    miscount_profile: "counter",
    leave_unnumbered: "unnumbered",
    show_twice: "doubled",
    hide_post: "pages",
    own_nowhere: "owners",
    own_twice: "owners",
    own_at_old_epoch: "epoch",
    shrink_epoch: "epoch",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_a_spoiled_end_is_found(spoil: Callable[[Observed], None]) -> None:
    end = good_end()
    spoil(end)
    verdict = judge(good_history(), end)
    assert SPOILED[spoil] in verdict.kinds()
    assert str(verdict).startswith("BROKEN")


def test_a_refused_write_that_happened_is_found() -> None:
    history = good_history()
    history.operations[-1].status = Status.FAILED
    end = good_end()
    add(end, Row(4, THREAD, BERT, "b1 first", False, 0))
    assert set(judge(history, end).kinds()) == {"invented"}


def test_errors_and_stale_reads_are_problems() -> None:
    history = good_history()
    history.errors.append("POST /posts: 500")
    history.stale_reads.append("a2: read the words of before")
    assert judge(history, good_end()).kinds() == {"error": 1, "stale": 1}
