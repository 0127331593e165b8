"""Demonstration data: a few forums with people, nested posts and votes, written through the services.

Every request has an idempotency key of its own and pinning is the last: a run that was cut off is completed by the
next one, and a run after a complete one adds nothing.
"""

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import connections

from forum_backend.data.control.accounts.models import User
from forum_backend.data.shard.models import OutboxEvent, Post, Thread, Vote
from forum_backend.domain.errors import AlreadyTaken
from forum_backend.domain.events import PostVoted, encode
from forum_backend.queries.forum_read import forum_read
from forum_backend.queries.thread_page import post_to_edit
from forum_backend.services.accounts import account_of, ensure_user
from forum_backend.services.forum_write import OpenForum, forum_write
from forum_backend.services.forums import create_forum
from forum_backend.services.posts import create_post, delete_post, update_post
from forum_backend.services.profiles import update_profile
from forum_backend.services.threads import create_thread, update_thread

CONTENT = Path(__file__).with_name("demo.json")
SEED = 2010
DAYS = 24
AT_ONCE = 6
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

    def add(self, other: "DemoReport") -> None:
        """Count in what another thread made."""
        self.forums += other.forums
        self.threads += other.threads
        self.posts += other.posts
        self.votes += other.votes
        self.skipped += other.skipped


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
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="demo") as pool:
        made = {
            forum["name"]: pool.submit(_in_thread, forum, content["short"], number=number, people=people, now=now)
            for number, forum in enumerate(content["forums"])
        }
        for name, future in made.items():
            report.add(future.result())
            progress(f"{name}: ready")
    return report


def _in_thread(
    wanted: dict[str, Any], short: list[str], *, number: int, people: dict[str, User], now: datetime
) -> DemoReport:
    """One forum, in a thread of its own: what takes time is waiting for the disks of its shard."""
    report = DemoReport()
    chance = random.Random(SEED + number)  # noqa: S311 - the same data every time, nothing secret
    try:
        _set_up_forum(wanted, short, people=people, chance=chance, now=now, report=report)
    finally:
        connections.close_all()
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
    details = {name: wanted[name] for name in ("slug", "name", "description")}
    try:
        made = create_forum(owner_id=people[wanted["owner"]].pk, key=f"demo-{wanted['slug']}", now=start, **details)
    except AlreadyTaken:
        report.skipped.append(wanted["slug"])
        return
    forum_id = int(made["id"])
    if is_complete(forum_id):
        return
    plan = sorted(planned_posts(wanted, short, names=list(people), chance=chance, start=start, now=now))
    posts = _write_posts(forum_id, wanted, plan, people)
    threads = {planned.thread for planned in plan}
    report.votes += forum_write(forum_id, lambda forum: _vote(forum, plan, posts, people, random.Random(SEED), now))  # noqa: S311
    _moderate(plan, posts, people, people[wanted["owner"]], now)
    report.forums += 1
    report.threads += len(threads)
    report.posts += len(posts)


def is_complete(forum_id: int) -> bool:
    """Whether an earlier run came to its last step."""
    return forum_read(
        forum_id, lambda alias: Thread.objects.using(alias).filter(forum_id=forum_id, is_pinned=True).exists()
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


def _write_posts(
    forum_id: int, wanted: dict[str, Any], plan: list[PlannedPost], people: dict[str, User]
) -> dict[tuple[int, int], int]:
    """All threads and posts of a forum in the order of their times; the ids by thread and position."""
    threads: dict[int, int] = {}
    posts: dict[tuple[int, int], int] = {}
    for planned in plan:
        key = f"demo-{planned.thread}-{planned.position}"
        author = people[planned.author].pk
        if planned.position == 0:
            title = wanted["threads"][planned.thread]["title"]
            made = create_thread(
                forum_id=forum_id, author_id=author, title=title, body=planned.body, now=planned.at, key=key
            )
            threads[planned.thread], posts[planned.thread, 0] = int(made["id"]), int(made["post"]["id"])
            continue
        post = create_post(
            thread_id=threads[planned.thread],
            author_id=author,
            body=planned.body,
            parent_id=posts[planned.thread, planned.answers] if planned.answers else None,
            now=planned.at,
            key=key,
        )
        posts[planned.thread, planned.position] = int(post["id"])
    return posts


def _moderate(
    plan: list[PlannedPost],
    posts: dict[tuple[int, int], int],
    people: dict[str, User],
    owner: User,
    now: datetime,
) -> None:
    """What happens in a real forum too: one edit, one post taken away, the last thread pinned."""
    edited, removed = _edited_and_removed(plan)
    update_post(
        post_id=posts[edited.thread, edited.position],
        account=account_of(people[edited.author]),
        body=f"{edited.body}\n\n*Edited: added a word that was missing.*",
        now=min(now, edited.at + timedelta(minutes=9)),
    )
    delete_post(post_id=posts[removed.thread, removed.position], account=account_of(owner), now=now)
    last = max(planned.thread for planned in plan)
    post = post_to_edit(posts[last, 0])
    update_thread(thread_id=post.thread, account=account_of(owner), changes={"is_pinned": True}, now=now)


def _edited_and_removed(plan: list[PlannedPost]) -> tuple[PlannedPost, PlannedPost]:
    replies = [planned for planned in plan if planned.position]
    return replies[len(replies) // 3], replies[len(replies) // 2]


def _vote(
    forum: OpenForum,
    plan: list[PlannedPost],
    posts: dict[tuple[int, int], int],
    people: dict[str, User],
    chance: random.Random,
    now: datetime,
) -> int:
    """Votes of some people on some posts, mostly friendly: what ``services.votes`` writes, in four statements."""
    if Vote.objects.using(forum.shard).filter(forum_id=forum.forum_id).exists():
        return 0
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
