"""More people write to a moving forum than a process has threads: all wait, nobody is sent away, others are served."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from forum_backend.data.control.accounts.models import User
from forum_backend.data.shard.models import Post
from forum_backend.domain.moves import MoveState
from forum_backend.services.accounts import create_token
from routers.directory import directory
from tests import factories, processes
from tests.integration.moves.driving import Populated, at, drive_to_end, owners, populated
from tests.integration.web.browser import Browser, hidden_fields
from tests.processes import eventually
from workers.rebalance.runner import drive

OF_A_KIND = django_settings.SERVICE_THREADS
CROWD = 3 * OF_A_KIND
ANSWER_LIMIT_S = 30.0


@dataclass
class Person:
    """Somebody with a token and a session, on a connection of their own."""

    url: str
    user: User = field(default_factory=factories.make_user)

    def __post_init__(self) -> None:
        token = create_token(user=self.user, now=timezone.now())
        self._token = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=self.url, timeout=ANSWER_LIMIT_S)

    def post(self, thread: int) -> httpx.Response:
        return self._http.post(f"/api/v1/threads/{thread}/posts", json={"body": "by a program"}, headers=self._token)

    def vote(self, post: int) -> httpx.Response:
        return self._http.put(f"/api/v1/posts/{post}/vote", json={"value": 1}, headers=self._token)

    def open(self, thread: int) -> Callable[[], httpx.Response]:
        """A thread's page in a browser; gives what sends an answer from there."""
        for cookie in Browser().sign_in(self.user).client.cookies.values():
            self._http.cookies.set(cookie.key, cookie.value)
        page = self._http.get(f"/t/{thread}/")
        form = hidden_fields(page.text) | {"parent": "", "body": "from a page"}
        return lambda: self._http.post(f"/t/{thread}/reply", data=form, headers={"Referer": f"{self.url}/"})


@pytest.fixture
def url() -> Iterator[str]:
    """The address of a web process."""
    with processes.web("forum_backend.asgi:application", MOVE_WAIT_LIMIT_MS="20000") as port:
        yield f"http://localhost:{port}"


def crowd_of(url: str, place: Populated, voted: int) -> list[Callable[[], httpx.Response]]:
    """What each of them is about to do: a third by each way."""
    people = [Person(url) for _ in range(CROWD)]
    posting = [lambda who=who: who.post(place.thread.pk) for who in people[:OF_A_KIND]]
    voting = [lambda who=who: who.vote(voted) for who in people[OF_A_KIND : 2 * OF_A_KIND]]
    return posting + voting + [who.open(place.thread.pk) for who in people[2 * OF_A_KIND :]]


def waiting(url: str) -> int:
    """How many writers wait at fences in this process, by its own count."""
    (found,) = re.findall(r"^forum_writers_at_fences (\S+)$", httpx.get(f"{url}/metrics").text, re.MULTILINE)
    return int(float(found))


def test_nobody_of_a_crowd_at_a_fence_is_sent_away(url: str, settings: Any) -> None:
    settings.MOVE_BUDGET_MS = 10_000  # a busy machine is no reason to give up
    place, elsewhere = populated(), populated("shard_02")
    posts = Post.objects.using(place.source).filter(thread_id=place.thread.pk)
    before, voted = posts.count(), posts.order_by("id")[0].pk
    writes, other = crowd_of(url, place, voted), Person(url)
    answers: list[Future[httpx.Response]] = []
    with ThreadPoolExecutor(CROWD) as pool:

        def crowd() -> None:
            answers.extend(pool.submit(write) for write in writes)
            eventually(lambda: waiting(url), lambda number: number == CROWD, limit_s=8.0)
            assert other.post(elsewhere.thread.pk).status_code == 201, "other forums find a thread"
            assert not any(answer.done() for answer in answers)

        move = place.plan()
        drive(move_id=move.pk, token=move.token, observe=at("fence.done", crowd))
        statuses = [answer.result(ANSWER_LIMIT_S).status_code for answer in answers]
    assert statuses == [201] * OF_A_KIND + [200] * OF_A_KIND + [303] * OF_A_KIND
    assert waiting(url) == 0
    move.refresh_from_db()
    assert (move.attempts, drive_to_end(move).state, owners(place.forum)) == (0, MoveState.CLEANED, [place.target])
    directory.forget(place.forum)
    arrived = Post.objects.using(place.target).filter(thread_id=place.thread.pk)
    assert arrived.count() == before + 2 * OF_A_KIND
    assert arrived.get(pk=voted).points == OF_A_KIND
