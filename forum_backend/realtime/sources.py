"""What can be followed: a forum or the fleet. Each has a number, a snapshot and a log, one crossing away."""

from typing import Any, Protocol

from forum_backend.queries.events import events_after
from forum_backend.queries.history import last_number_of
from forum_backend.queries.snapshots import forum_snapshot
from forum_backend.queries.status import last_status_number, status_after, status_snapshot
from forum_backend.services.crossing import in_service_thread

PAGE = 100
STATUS = 0  # the fleet's key among the feeds; forums have numbers from 1 on


class Source(Protocol):
    """Something with gap-free numbers."""

    key: int

    async def last_number(self) -> int: ...

    async def snapshot(self) -> tuple[int, dict[str, Any]]: ...

    async def page_after(self, number: int) -> list[dict[str, Any]]:
        """The next events, at most ``PAGE``; fewer than that only at the end."""
        ...


class ForumSource:
    """A forum's events, wherever it lives at the moment."""

    def __init__(self, forum_id: int) -> None:
        self.key = forum_id

    async def last_number(self) -> int:
        return await in_service_thread(last_number_of, self.key)

    async def snapshot(self) -> tuple[int, dict[str, Any]]:
        return await in_service_thread(forum_snapshot, self.key)

    async def page_after(self, number: int) -> list[dict[str, Any]]:
        return await in_service_thread(events_after, self.key, number, PAGE)


class StatusSource:
    """The fleet's events."""

    key = STATUS

    async def last_number(self) -> int:
        return await in_service_thread(last_status_number)

    async def snapshot(self) -> tuple[int, dict[str, Any]]:
        return await in_service_thread(status_snapshot)

    async def page_after(self, number: int) -> list[dict[str, Any]]:
        return await in_service_thread(status_after, number, PAGE)
