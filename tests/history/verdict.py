"""Whether a history and what is there at the end go together. Pure: tests spoil both and see it fail."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from tests.history.observed import ForumState, Observed, Row, Sample
from tests.history.records import Expected, History, Status

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that must not be. ``kind`` is a word to count by."""

    kind: str
    text: str


@dataclass
class Verdict:
    """All problems, and the figures of the run."""

    problems: list[Problem]
    figures: dict[str, int] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        return not self.problems

    def kinds(self) -> Counter[str]:
        return Counter(problem.kind for problem in self.problems)

    def __str__(self) -> str:
        kinds = self.kinds()
        head = ", ".join(f"{kinds[kind]} {kind}" for kind in ("lost", "doubled", "back", "error"))
        others = ", ".join(f"{number} {kind}" for kind, number in kinds.items() if kind not in ("lost", "doubled"))
        figures = ", ".join(f"{number} {name}" for name, number in self.figures.items())
        lines = [f"{'Good' if self.is_good else 'BROKEN'}: {head}; {figures}"]
        if self.problems:
            lines += [f"Problems: {others}", *(f"  {each.kind}: {each.text}" for each in self.problems[:SHOWN])]
        return "\n".join(lines)


def judge(history: History, observed: Observed) -> Verdict:
    """Every rule, each by a generator of its own."""
    problems = [
        *posts_problems(history, observed),
        *votes_problems(history, observed),
        *profile_problems(observed),
        *(problem for forum in observed.forums for problem in forum_problems(forum)),
        *page_problems(observed),
        *ownership_problems(observed.samples),
        *(Problem("error", text) for text in history.errors),
        *(Problem("stale", text) for text in history.stale_reads),
    ]
    figures = {
        "operations": len(history.operations),
        "done": history.count(Status.DONE),
        "refused": history.count(Status.FAILED),
        "unknown": history.count(Status.UNKNOWN, Status.BEGUN),
        "retries": history.retries,
        "answers lost": history.lost_answers,
        "samples": len(observed.samples),
    }
    return Verdict(problems, figures)


def posts_problems(history: History, observed: Observed) -> Iterator[Problem]:
    """Each acknowledged post once, with its last words; what was deleted stays deleted; nothing that nobody wrote."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in observed.rows():
        rows[row.name].append(row)
    expected = history.posts()
    for name, post in expected.items():
        yield from _post_problems(post, rows.get(name, []))
    for name in rows.keys() - expected.keys():
        yield Problem("invented", f"nobody wrote {name}")


def _post_problems(post: Expected, rows: list[Row]) -> Iterator[Problem]:
    if not rows:
        if post.must_exist:
            yield Problem("lost", f"{post.name} was acknowledged as post {post.post}")
        return
    if len(rows) > 1:
        yield Problem("doubled", f"{post.name} is posts {', '.join(str(row.id) for row in rows)}")
    if not post.may_exist:
        yield Problem("invented", f"{post.name} was refused, and is there")
    for row in rows:
        if post.post is not None and row.id != post.post and len(rows) == 1:
            yield Problem("lost", f"{post.name} was acknowledged as post {post.post} and is post {row.id}")
        if row.body not in post.bodies:
            yield Problem("lost", f"{post.name} says {row.body!r}, acknowledged was {sorted(post.bodies)}")
        if post.is_deleted and not row.is_deleted:
            yield Problem("back", f"{post.name} was deleted")
        if post.is_deleted is False and row.is_deleted:
            yield Problem("lost", f"{post.name} is deleted, and nobody did that")


def votes_problems(history: History, observed: Observed) -> Iterator[Problem]:
    """One vote a user and post, of the value that was acknowledged last; points are the sum of the votes."""
    names = {row.id: row.name for row in observed.rows()}
    writers = {user.id: name for name, user in observed.users.items()}
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    sums: Counter[int] = Counter()
    for post, user, value in (vote for forum in observed.forums for vote in forum.votes):
        found[writers.get(user, str(user)), names.get(post, str(post))].append(value)
        sums[post] += value
    expected = history.votes()
    for pair in expected.keys() | found.keys():
        values = found.get(pair, [])
        if len(values) > 1:
            yield Problem("doubled", f"{pair[0]} has {len(values)} votes on {pair[1]}")
        elif sum(values) not in expected.get(pair, {0}):
            yield Problem("lost", f"{pair[0]}'s vote on {pair[1]} is {values}, not {sorted(expected.get(pair, {0}))}")
    for row in observed.rows():
        if row.points != sums[row.id]:
            yield Problem("counter", f"{row.name} has {row.points} points, its votes are {sums[row.id]}")


def profile_problems(observed: Observed) -> Iterator[Problem]:
    """A user's counters are those of the rows."""
    posts: Counter[int] = Counter(row.author for row in observed.rows() if not row.is_deleted)
    points: Counter[int] = Counter()
    for row in observed.rows():
        points[row.author] += row.points
    for name, user in observed.users.items():
        shown, real = (user.posts_count, user.points), (posts[user.id], points[user.id])
        if shown != real:
            yield Problem("counter", f"the profile of {name} has {shown} posts and points, there are {real}")


def forum_problems(state: ForumState) -> Iterator[Problem]:
    """One owner, events numbered from 1 without a gap, each write announced once, counters that count."""
    forum = f"forum {state.forum}"
    if len(state.owners) != 1:
        yield Problem("owners", f"{forum} is owned by {state.owners or 'nobody'}")
    if state.waiting:
        yield Problem("unnumbered", f"{forum} has {state.waiting} events without a number")
    numbers = sorted(number for number, _, _ in state.events)
    if numbers != list(range(1, state.last_number + 1)):
        yield Problem("gap", f"{forum} has {len(numbers)} events up to {state.last_number}: {_first_gap(numbers)}")
    announced = Counter((kind, subject) for _, kind, subject in state.events)
    for row in state.posts:
        for kind, expected in (("post.created", 1), ("post.deleted", int(row.is_deleted))):
            if announced[kind, row.id] != expected:
                yield Problem("event", f"{row.name} has {announced[kind, row.id]} {kind}, not {expected}")
    visible: Counter[int] = Counter(row.thread for row in state.posts if not row.is_deleted)
    for thread, count in state.thread_counts.items():
        if count != visible[thread]:
            yield Problem("counter", f"thread {thread} counts {count} posts, there are {visible[thread]}")
    counted, real = (state.threads_count, state.posts_count), (len(state.thread_counts), visible.total())
    if counted != real:
        yield Problem("counter", f"{forum} counts {counted} threads and posts, there are {real}")


def _first_gap(numbers: list[int]) -> str:
    for before, after in pairwise([0, *numbers]):
        if after != before + 1:
            return f"{after} follows {before}"
    return f"the last one is {numbers[-1] if numbers else 0}"


def page_problems(observed: Observed) -> Iterator[Problem]:
    """A thread's pages show its rows, each once."""
    rows: dict[int, set[int]] = defaultdict(set)
    for row in observed.rows():
        rows[row.thread].add(row.id)
    for thread, ids in observed.pages.items():
        twice = [post for post, times in Counter(ids).items() if times > 1]
        if twice:
            yield Problem("doubled", f"the pages of thread {thread} show {twice[:5]} more than once")
        if set(ids) != rows[thread]:
            yield Problem("pages", f"the pages of thread {thread} show {len(set(ids))} of {len(rows[thread])} posts")


def ownership_problems(samples: list[Sample]) -> Iterator[Problem]:
    """At most one owner at any moment; epochs only grow, on each shard and from owner to owner."""
    seen: dict[tuple[int, str], int] = defaultdict(int)
    for sample in samples:
        if len(sample.owners) > 1:
            owners = ", ".join(f"{place.shard} at {place.epoch}" for place in sample.owners)
            yield Problem("owners", f"forum {sample.forum} is owned by {owners} at once")
        places = [(place.shard, place) for place in sample.places] + [("its owner", place) for place in sample.owners]
        for who, place in places:
            if place.epoch < seen[sample.forum, who]:
                yield Problem("epoch", f"{who} of forum {sample.forum}: {place.epoch} after {seen[sample.forum, who]}")
            seen[sample.forum, who] = max(place.epoch, seen[sample.forum, who])
