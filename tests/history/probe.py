"""Somebody who posts into one forum at a time and looks at the clock; every post is in the history, as others are."""

import time
import uuid
from types import TracebackType
from typing import Self

import httpx

from tests.history.checking import HistoryCheck
from tests.history.records import Kind, Status
from tests.journeys import people

FORUM_BITS = 23  # an id's lowest bits are its forum
PATIENCE_S = 30.0
RECONNECT_S = 0.05


class Probe:
    """A client that tries again when it is told to, as ``tests.history.client`` does, and says how long it took."""

    def __init__(self, check: HistoryCheck) -> None:
        self._check = check
        self._person = people.make_person(check.service)
        self._run, self._number = f"probe{uuid.uuid4().hex[:6]}", 0
        self._threads = {thread % 2**FORUM_BITS: thread for thread in check._board.threads}
        self._http = people.client_of(check.service, self._person)
        self.refusals = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def post(self, forum: int) -> float:
        """A post; the time (monotonic) when it was acknowledged. ``TimeoutError`` if it is not taken at all."""
        self._number += 1
        name = f"{self._run}-{self._number}"
        history, body = self._check.history, f"{name} is it in service?"
        operation = history.begin(self._person.username, Kind.INSERT, name, body)
        path, deadline = f"/threads/{self._threads[forum]}/posts", time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                answer = self._http.post(path, json={"body": body}, headers={"Idempotency-Key": name})
            except httpx.TransportError:
                history.lost_answers += 1
                time.sleep(RECONNECT_S)
                continue
            if answer.status_code != 503:
                operation.end(Status.DONE, post=int(people.expect(answer, 201)["id"]))
                return time.monotonic()
            history.retries += 1
            self.refusals += 1
            time.sleep(float(answer.headers["Retry-After"]))
        raise TimeoutError(f"forum {forum} took no post within {PATIENCE_S:.0f} s")
