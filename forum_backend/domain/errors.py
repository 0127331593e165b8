"""Every error this service raises on purpose, in one tree. HTTP statuses are given at the edge, not here.

ForumError
├── Invalid                   the request cannot be taken as it is
│   ├── InvalidId             not an id of this service
│   └── IdempotencyMismatch   the same key came with another request
├── NotAuthenticated          no or no valid credentials
├── Forbidden                 known, but not allowed
├── NotFound                  no such forum, thread, post, user, move
├── Conflict                  the state of things does not allow it
│   ├── AlreadyTaken          a slug or username is in use
│   ├── Closed                the thread takes no posts
│   ├── MoveRefused           this move cannot start or go on
│   ├── PlanRefused           this plan cannot be applied, or not any more
│   └── ShardRefused          this shard cannot be added, drained or removed
├── TooManyRequests           slow down; try again after ``retry_after_s``
├── Unavailable               try again after ``retry_after_s``
│   ├── ForumMoving           the forum is between two shards
│   ├── ShardUnavailable      the forum's server does not answer
│   │   └── ShardPromoted     it was replaced by a standby and has not been reconciled (FM004)
│   └── Overloaded            all workers are busy and the queue is full
└── RoutingError              a mistake of the calling code, refused rather than guessed
    ├── ForumNotNamed         a sharded query that names no forum
    ├── UnknownShard          an alias that the registry does not have
    ├── StaleInstance         an object that was loaded from a shard its forum has left
    ├── TwoForums             one transaction may enter one forum
    ├── ForumNotEntered       a write outside ``forum_write`` (FM002)
    ├── NotOwner              the shard does not own the forum (FM001)
    └── TokenRefused          a mover whose token is no longer the highest (FM003)
"""

from dataclasses import dataclass


class ForumError(Exception):
    """The root: everything this service raises on purpose."""

    title = "Something went wrong"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title


class Invalid(ForumError):
    """The request cannot be taken as it is. ``fields`` maps a field's name to what was expected."""

    title = "The request is not valid"

    def __init__(self, detail: str = "", *, fields: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.fields = fields or {}


class InvalidId(Invalid):
    title = "Not an id of this service"

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is not an id of this service")


class IdempotencyMismatch(Invalid):
    title = "This Idempotency-Key was used for another request"


class NotAuthenticated(ForumError):
    title = "Sign in first"


class Forbidden(ForumError):
    title = "You are not allowed to do this"


class NotFound(ForumError):
    """``kind`` is the noun (forum, thread, post, user, move), ``key`` what was asked for."""

    title = "Not found"

    def __init__(self, kind: str, key: object) -> None:
        super().__init__(f"There is no {kind} {str(key)[:80]!r}")
        self.kind = kind
        self.key = key


class Conflict(ForumError):
    title = "The request conflicts with the present state"


class AlreadyTaken(Conflict):
    title = "Already taken"

    def __init__(self, kind: str, value: str) -> None:
        super().__init__(f"The {kind} {value!r} is already taken")
        self.kind = kind


class Closed(Conflict):
    title = "The thread is closed"


class MoveRefused(Conflict):
    title = "This move is refused"


class PlanRefused(Conflict):
    title = "This plan is refused"


class ShardRefused(Conflict):
    title = "This change of a shard is refused"


class TooManyRequests(ForumError):
    title = "Too many attempts"

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(f"Try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Unavailable(ForumError):
    """A temporary state. ``retry_after_s`` is the whole number of seconds after which to try again."""

    title = "Try again shortly"
    retry_after_s = 1


class ForumMoving(Unavailable):
    """The forum is moving between shards; try again shortly."""

    title = "The forum is moving between shards"


class ShardUnavailable(Unavailable):
    """The server that holds the forum does not answer; forums on other shards work."""

    title = "The server that holds this forum does not answer"
    retry_after_s = 5

    def __init__(self, shard: str, *, may_have_happened: bool = False) -> None:
        super().__init__(f"{self.title} ({shard})")
        self.shard = shard
        self.may_have_happened = may_have_happened  # the answer to a write was lost, not the way to the server


class ShardPromoted(ShardUnavailable):
    """A standby or a backup took the server's place; nothing is written there until ``shards reconcile``."""

    title = "The forum's server was replaced and is not reconciled yet"


class Overloaded(Unavailable):
    title = "All workers are busy"


class RoutingError(ForumError):
    """A mistake of the calling code, refused rather than guessed."""

    title = "This query cannot be routed"


class ForumNotNamed(RoutingError):
    title = "A query on a sharded table must name its forum: in_forum(forum), an id, or an instance"


class UnknownShard(RoutingError):
    title = "The registry has no such shard"


class StaleInstance(RoutingError):
    title = "This object was loaded from a shard that its forum has left: load it again"


class TwoForums(RoutingError):
    title = "One transaction may enter one forum"


class ForumNotEntered(RoutingError):
    title = "Rows of a forum are written inside forum_write only"


@dataclass(frozen=True, slots=True)
class Ownership:
    """What a shard says of a forum: its mode there, at which epoch, and where it went if it left."""

    mode: str
    epoch: int
    went_to: str | None = None
    went_epoch: int | None = None


class NotOwner(RoutingError):
    """The shard does not own the forum at the expected epoch; ``ownership`` says what it knows."""

    title = "This shard does not own the forum"

    def __init__(self, *, forum: int, shard: str, ownership: Ownership) -> None:
        super().__init__(f"{shard} is {ownership.mode} at epoch {ownership.epoch} for forum {forum}")
        self.forum = forum
        self.shard = shard
        self.ownership = ownership


class TokenRefused(RoutingError):
    title = "Another mover has taken over this move"
