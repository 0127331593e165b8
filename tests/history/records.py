"""What writers did, noted operation by operation, and what must be there because of it."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum

OPEN = float("inf")


class Kind(StrEnum):
    """What a writer does."""

    INSERT = "insert"
    EDIT = "edit"
    DELETE = "delete"
    VOTE = "vote"


class Status(StrEnum):
    """How it went: ``failed`` was refused and had no effect, ``unknown`` may have happened."""

    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Operation:
    """``name`` is the unique first word of the post that it is about; ``value`` a body or a vote."""

    writer: str
    kind: Kind
    name: str
    value: str
    status: Status = Status.BEGUN
    post: int | None = None
    began_at: float = field(default_factory=time.monotonic)
    ended_at: float = OPEN

    def end(self, status: Status, *, post: int | None = None) -> None:
        self.status, self.ended_at = status, time.monotonic()
        self.post = self.post if post is None else post

    @property
    def may_have_happened(self) -> bool:
        return self.status in (Status.BEGUN, Status.UNKNOWN)


@dataclass(slots=True)
class Expected:
    """A post that may or must be there: its bodies, of which it has one; whether it is deleted (None: either)."""

    name: str
    writer: str
    must_exist: bool
    may_exist: bool
    post: int | None
    bodies: set[str]
    is_deleted: bool | None = False


@dataclass
class History:
    """All operations, each writer's in their order, and what writers and readers saw that should not be."""

    operations: list[Operation] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # answers that no client should get
    stale_reads: list[str] = field(default_factory=list)
    retries: int = 0
    lost_answers: int = 0

    def begin(self, writer: str, kind: Kind, name: str, value: str = "", *, post: int | None = None) -> Operation:
        operation = Operation(writer, kind, name, value, post=post)
        self.operations.append(operation)
        return operation

    def posts(self) -> dict[str, Expected]:
        """What must be there of each post, by its name. Only its writer changes it, one operation after the other."""
        found: dict[str, Expected] = {}
        for operation in self.operations:
            if operation.kind is Kind.INSERT:
                is_done = operation.status is Status.DONE
                found[operation.name] = Expected(
                    name=operation.name,
                    writer=operation.writer,
                    must_exist=is_done,
                    may_exist=is_done or operation.may_have_happened,
                    post=operation.post,
                    bodies={operation.value},
                )
            elif operation.kind is not Kind.VOTE:
                _change(found[operation.name], operation)
        return found

    def votes(self) -> dict[tuple[str, str], set[int]]:
        """The values that a writer's vote on a post may have, by writer and post."""
        found: dict[tuple[str, str], set[int]] = defaultdict(lambda: {0})
        for operation in self.operations:
            if operation.kind is Kind.VOTE:
                pair, value = (operation.writer, operation.name), int(operation.value)
                if operation.status is Status.DONE:
                    found[pair] = {value}
                elif operation.may_have_happened:
                    found[pair] = found[pair] | {value}
        return dict(found)

    def count(self, *statuses: Status) -> int:
        return sum(operation.status in statuses for operation in self.operations)


def _change(post: Expected, operation: Operation) -> None:
    is_done = operation.status is Status.DONE
    if operation.kind is Kind.EDIT and is_done:
        post.bodies = {operation.value}
    elif operation.kind is Kind.EDIT and operation.may_have_happened:
        post.bodies = post.bodies | {operation.value}
    elif operation.kind is Kind.DELETE and is_done:
        post.is_deleted = True
    elif operation.kind is Kind.DELETE and operation.may_have_happened:
        post.is_deleted = None
