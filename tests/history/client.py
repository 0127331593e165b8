"""A good client: it tries again when it is asked to, and with the same key when an answer was lost."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.history.records import History
from tests.running import Service

PATIENCE_S = 60.0
REQUEST_LIMIT_S = 15.0
RECONNECT_S = 0.1
TRY_AGAIN = (429, 503)


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` 0: none came in time, and what was asked for may have happened.

    ``may_repeat``: an earlier try was lost on its way, and might be carried out after all, later.
    """

    status: int
    content: Any = None
    may_repeat: bool = False

    @property
    def is_lost(self) -> bool:
        return self.status == 0


class Client:
    """One person's client of the API."""

    def __init__(self, service: Service, history: History, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        base = f"{service.url}/api/v1"
        self._http = httpx.AsyncClient(base_url=base, headers=headers, timeout=REQUEST_LIMIT_S)
        self._history = history

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(
        self, method: str, path: str, *, expected: tuple[int, ...], content: Any = None, key: str | None = None
    ) -> Answer:
        """The answer. One that is not expected is noted as an error; a lost one counts as unknown.

        Everything that is asked for here may be asked for twice: by its key, or because it sets what is set already.
        """
        headers = {"Idempotency-Key": key} if key else {}
        deadline = time.monotonic() + PATIENCE_S
        may_repeat = False
        while time.monotonic() < deadline:
            try:
                answer = await self._http.request(method, path, json=content, headers=headers)
            except httpx.TransportError:
                self._history.lost_answers += 1
                may_repeat = True
                await asyncio.sleep(RECONNECT_S)
                continue
            if answer.status_code not in TRY_AGAIN:
                return self._expected(answer, expected, may_repeat=may_repeat)
            self._history.retries += 1
            await asyncio.sleep(float(answer.headers["Retry-After"]))
        self._history.errors.append(f"{method} {path}: no answer within {PATIENCE_S:.0f} s")
        return Answer(0, may_repeat=True)

    def _expected(self, answer: httpx.Response, expected: tuple[int, ...], *, may_repeat: bool) -> Answer:
        if answer.status_code not in expected:
            request = f"{answer.request.method} {answer.request.url.path}"
            self._history.errors.append(f"{request}: {answer.status_code} {answer.text[:200]}")
        if answer.status_code >= 500:
            return Answer(0, may_repeat=True)  # it may have happened
        return Answer(answer.status_code, answer.json() if answer.content else None, may_repeat)
