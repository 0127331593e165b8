"""Managers of sharded tables: they learn the forum from what a query names, and pass it to the router as a hint."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.db import models
from django.utils.module_loading import import_string

from forum_backend.domain.errors import InvalidId, TwoForums
from forum_backend.domain.ids import MAX_FORUM_NUMBER, forum_of

# A lookup by one of these names the forum: the value is a routed id, a row, or a forum.
ROUTED_LOOKUPS = frozenset({"pk", "id", "thread", "thread_id", "parent", "parent_id", "post", "post_id"})
FORUM_LOOKUPS = frozenset({"forum", "forum_id"})


@cache
def _locate() -> Callable[[int], object]:
    """The directory's look-up, named in the settings as the routers are: tables do not import what is above them."""
    locate: Callable[[int], object] = import_string(settings.FORUM_DIRECTORY).locate
    return locate


def forum_number(named: Any) -> int | None:
    """The forum that a forum, a row, an open forum or a number names; None when it names none."""
    if isinstance(named, models.Model) or hasattr(named, "forum_id"):
        number = getattr(named, "forum_id", None)
        return number if isinstance(number, int) else None
    if isinstance(named, int) or (isinstance(named, str) and named.isdigit()):
        number = int(named)
        return number if 1 <= number <= MAX_FORUM_NUMBER else None
    return None


def _forum_of_value(value: Any) -> int | None:
    if isinstance(value, models.Model):
        return forum_number(value)
    try:
        return forum_of(int(value))
    except (TypeError, ValueError, InvalidId):
        return None


def named_forum(model: type[models.Model], lookups: dict[str, Any]) -> int | None:
    """The one forum that keyword lookups of a query name, or None. ``TwoForums`` if a list spans several."""
    for name, value in lookups.items():
        field, _, operator = name.partition("__")
        is_forum = field in FORUM_LOOKUPS or (field in {"pk", "id"} and model._meta.model_name == "forum")
        if operator in {"", "exact"} and (is_forum or field in ROUTED_LOOKUPS):
            found = forum_number(value) if is_forum else _forum_of_value(value)
        elif operator == "in" and field in ROUTED_LOOKUPS and not is_forum and isinstance(value, (list, tuple, set)):
            numbers = {_forum_of_value(item) for item in value}
            if len(numbers) > 1:
                raise TwoForums(f"{name} names rows of {len(numbers)} forums; ask each forum, or fan out")
            found = next(iter(numbers), None)
        else:
            continue
        if found is not None:
            return found
    return None


class ForumQuerySet(models.QuerySet[Any]):
    """A queryset that is told its forum by ``in_forum``, or learns it from ``pk=``, ``thread=``, ``forum=`` …"""

    if TYPE_CHECKING:  # Django's own, which its stubs leave out
        _hints: dict[str, Any]
        _db: str | None

        def _chain(self) -> Self: ...

    def in_forum(self, forum: Any) -> Self:
        """Only rows of this forum, on the forum's shard. ``forum``: a forum, any row of it, or its number."""
        number = forum_number(forum)
        if number is None:
            raise InvalidId(repr(forum))
        key = "pk" if self.model._meta.model_name == "forum" else "forum_id"
        rows: Self = self._routed(number).filter(**{key: number})
        return rows

    def create(self, **fields: Any) -> Any:
        number = self._hints.get("forum_id") or named_forum(self.model, fields)
        if number is not None and self.model._meta.model_name != "forum":
            fields.setdefault("forum_id", number) if "forum" not in fields else None
        return super(ForumQuerySet, self._routed(number)).create(**fields)

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        rows = list(objs)
        numbers = {forum_number(row) for row in rows}
        if len(numbers) > 1:
            raise TwoForums(f"bulk_create was given rows of {len(numbers)} forums")
        return super(ForumQuerySet, self._routed(next(iter(numbers), None))).bulk_create(rows, *args, **kwargs)

    def _routed(self, number: int | None) -> Self:
        clone = self._chain()
        if number is not None and clone._hints.get("forum_id") != number:
            if "forum_id" in clone._hints:
                raise TwoForums(f"forum {clone._hints['forum_id']} was named before forum {number}")
            _locate()(number)
            clone._hints = {**clone._hints, "forum_id": number}
        return clone

    def _filter_or_exclude(self, negate: bool, args: Any, kwargs: Any) -> Self:
        known = self._db is not None or "forum_id" in self._hints or "instance" in self._hints
        number = None if negate or known else named_forum(self.model, kwargs)
        routed = self._routed(number)
        rows: Self = super(ForumQuerySet, routed)._filter_or_exclude(negate, args, kwargs)  # type: ignore[misc]
        return rows


ForumManager = models.Manager.from_queryset(ForumQuerySet)
