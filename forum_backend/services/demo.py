"""Demonstration data: a few forums with people, nested posts and votes, written through the services.

Each forum's content is one transaction, so a forum has all of it or none, and a second run adds nothing.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from forum_backend.data.control.accounts.models import User
from forum_backend.data.shard.models import OutboxEvent, Post, Thread, Vote
from forum_backend.domain.errors import AlreadyTaken
from forum_backend.domain.events import PostVoted, encode
from forum_backend.services.accounts import account_of, ensure_user
from forum_backend.services.forum_write import OpenForum, forum_write
from forum_backend.services.forums import create_forum
from forum_backend.services.posts import create_post, delete_post, update_post
from forum_backend.services.profiles import update_profile
from forum_backend.services.threads import create_thread, update_thread

CONTENT = Path(__file__).with_name("demo.json")
SEED = 2010
DAYS = 24
POSTS_PER_THREAD = (5, 18)


@dataclass(slots=True)
class DemoReport:
    """What a run made; zeros where it found everything there already."""

    users: int = 0
    forums: int = 0
    threads: int = 0
    posts: int = 0
    votes: int = 0
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, order=True)
class PlannedPost:
    """A post to be made: when, in which thread, and which earlier post of it it answers (0: the thread itself)."""

    at: datetime
    thread: int
    position: int
    author: str = field(compare=False)
    body: str = field(compare=False)
    answers: int = field(compare=False)


def set_up_demo(*, now: datetime, progress: Callable[[str], None]) -> DemoReport:
    """Make what is missing of the demonstration data; ``progress`` is told what is being made."""
    content = json.loads(CONTENT.read_text(encoding="utf-8"))
    report = DemoReport()
    people = _people(content["people"], now=now - timedelta(days=DAYS + 30), report=report)
    for number, forum in enumerate(content["forums"]):
        progress(f"{forum['name']} …")
        chance = random.Random(SEED + number)  # noqa: S311 - the same data every time, nothing secret
        _set_up_forum(forum, content["short"], people=people, chance=chance, now=now, report=report)
    return report


def _people(wanted: list[dict[str, str]], *, now: datetime, report: DemoReport) -> dict[str, User]:
    names = [person["username"] for person in wanted]
    present = {user.username: user for user in User.objects.filter(username__in=names)}
    for person in wanted:
        if person["username"] not in present:
            user = ensure_user(username=person["username"], is_staff=False, now=now)
            changes = {"display_name": person["display_name"], "about": person["about"]}
            update_profile(user_id=user.pk, changes=changes, now=now)
            present[user.username] = user
            report.users += 1
    return present


def _set_up_forum(
    wanted: dict[str, Any],
    short: list[str],
    *,
    people: dict[str, User],
    chance: random.Random,
    now: datetime,
    report: DemoReport,
) -> None:
    start = now - timedelta(days=DAYS)
    owner = people[wanted["owner"]]
    details = {name: wanted[name] for name in ("slug", "name", "description")}
    try:
        made = create_forum(owner_id=owner.pk, key=f"demo-{wanted['slug']}", now=start, **details)
    except AlreadyTaken:
        report.skipped.append(wanted["slug"])
        return
    plan = sorted(planned_posts(wanted, short, names=list(people), chance=chance, start=start, now=now))
    counts = forum_write(int(made["id"]), lambda forum: _fill(forum, wanted, plan, people, random.Random(SEED), now))  # noqa: S311
    report.forums += bool(counts[0])
    report.threads, report.posts, report.votes = (
        report.threads + counts[0],
        report.posts + counts[1],
        report.votes + counts[2],
    )


def planned_posts(
    wanted: dict[str, Any], short: list[str], *, names: list[str], chance: random.Random, start: datetime, now: datetime
) -> Iterator[PlannedPost]:
    """The posts of a forum: each thread's first one, then replies hours apart, most of them to earlier replies."""
    for number, thread in enumerate(wanted["threads"]):
        at = start + (now - start) * chance.uniform(0.02, 0.8)
        yield PlannedPost(at, number, 0, chance.choice(names), thread["opening"], 0)
        count = max(len(thread["replies"]), chance.randint(*POSTS_PER_THREAD))
        bodies = thread["replies"] + chance.sample(short, len(short))
        for position, body in enumerate(bodies[:count], start=1):
            at += (now - at) * chance.uniform(0.01, 0.3)
            answers = chance.randint(max(0, position - 4), position - 1) if chance.random() < 0.8 else 0
            yield PlannedPost(at, number, position, chance.choice(names), body, answers)


def _fill(
    forum: OpenForum,
    wanted: dict[str, Any],
    plan: list[PlannedPost],
    people: dict[str, User],
    chance: random.Random,
    now: datetime,
) -> tuple[int, int, int]:
    """All of a forum's content, in the transaction that is open; how many threads, posts and votes were made."""
    if Thread.objects.using(forum.shard).filter(forum_id=forum.forum_id).exists():
        return 0, 0, 0
    threads: dict[int, int] = {}
    posts: dict[tuple[int, int], int] = {}
    for planned in plan:
        author = people[planned.author]
        if planned.position == 0:
            title = wanted["threads"][planned.thread]["title"]
            made = create_thread(
                forum_id=forum.forum_id, author_id=author.pk, title=title, body=planned.body, now=planned.at
            )
            threads[planned.thread], posts[planned.thread, 0] = int(made["id"]), int(made["post"]["id"])
            continue
        post = create_post(
            thread_id=threads[planned.thread],
            author_id=author.pk,
            body=planned.body,
            parent_id=posts[planned.thread, planned.answers] if planned.answers else None,
            now=planned.at,
        )
        posts[planned.thread, planned.position] = int(post["id"])
    _moderate(plan, threads, posts, people, people[wanted["owner"]], now)
    return len(threads), len(posts), _vote(forum, plan, posts, people, chance, now)


def _moderate(
    plan: list[PlannedPost],
    threads: dict[int, int],
    posts: dict[tuple[int, int], int],
    people: dict[str, User],
    owner: User,
    now: datetime,
) -> None:
    """What happens in a real forum too: one edit, one post taken away, the last thread pinned."""
    replies = [planned for planned in plan if planned.position]
    edited, removed = replies[len(replies) // 3], replies[len(replies) // 2]
    author = account_of(people[edited.author])
    update_post(
        post_id=posts[edited.thread, edited.position],
        account=author,
        body=f"{edited.body}\n\n*Edited: added a word that was missing.*",
        now=min(now, edited.at + timedelta(minutes=9)),
    )
    delete_post(post_id=posts[removed.thread, removed.position], account=account_of(owner), now=now)
    update_thread(thread_id=threads[max(threads)], account=account_of(owner), changes={"is_pinned": True}, now=now)


def _vote(
    forum: OpenForum,
    plan: list[PlannedPost],
    posts: dict[tuple[int, int], int],
    people: dict[str, User],
    chance: random.Random,
    now: datetime,
) -> int:
    """Votes of some people on some posts, mostly friendly: what ``services.votes`` writes, in four statements."""
    rows = Post.objects.using(forum.shard).filter(pk__in=posts.values(), is_deleted=False).in_bulk()
    votes: list[Vote] = []
    events: list[OutboxEvent] = []
    for planned in plan:
        post = rows.get(posts[planned.thread, planned.position])
        if post is None or chance.random() < 0.45:
            continue
        for name in people:
            if name == planned.author or chance.random() >= 0.28:
                continue
            value = 1 if chance.random() < 0.88 else -1
            post.points += value
            votes.append(Vote(forum_id=forum.forum_id, post_id=post.pk, user_id=people[name].pk, value=value))
            voted = PostVoted(subject_id=post.pk, author_id=post.author_id, delta=value)
            events.append(
                OutboxEvent(forum_id=forum.forum_id, type=voted.type, subject_id=post.pk, data=encode(voted), at=now)
            )
    Vote.objects.using(forum.shard).bulk_create(votes)
    Post.objects.using(forum.shard).bulk_update(rows.values(), ["points"])
    OutboxEvent.objects.using(forum.shard).bulk_create(events)
    return len(votes)
