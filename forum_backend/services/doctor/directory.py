"""The directory against the shards' own words: two owners, none, or one that the directory does not know."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg

from forum_backend.data.control.directory.models import ForumPlacement
from forum_backend.domain.errors import ShardUnavailable
from forum_backend.domain.findings import Finding, Severity
from forum_backend.domain.moves import OwnershipMode
from forum_backend.queries.forum_read import ownership_on

# Of one shard; in a fleet of larger ones the forums with the lowest numbers are compared.
MOST_FORUMS = 200_000
PAGE = 10_000
NAMED = 100

_OWNED = (
    "SELECT forum_id, epoch, mode FROM ownership WHERE mode IN ('owner', 'fenced') "
    "AND (%(forum)s::int IS NULL OR forum_id = %(forum)s::int) ORDER BY forum_id LIMIT %(most)s"
)


@dataclass(frozen=True, slots=True)
class Owned:
    """The forums that a shard owns, and those it keeps fenced; ``reached``: up to which number all are named."""

    owned: frozenset[int]
    fenced: frozenset[int]
    reached: int


NOTHING_OWNED = Owned(frozenset(), frozenset(), 0)


def read_owned(connection: psycopg.Connection, *, forum: int | None) -> Owned:
    """One forum, or all of a shard up to a bound."""
    rows = connection.execute(_OWNED, {"forum": forum, "most": MOST_FORUMS}).fetchall()
    by_mode = {mode: frozenset(f for f, _, found in rows if found == mode) for mode in ("owner", "fenced")}
    return Owned(by_mode["owner"], by_mode["fenced"], rows[-1][0] if len(rows) == MOST_FORUMS else 2**31)


def disagreements(seen: Mapping[str, Owned], *, moving: set[int], forum: int | None = None) -> Iterator[Finding]:
    """Forums whose owner is not the one shard that the directory names; those on the move may be between two."""
    named = _placements(forum)
    doubled: set[int] = set()
    for shard, forums in seen.items():
        for other in (name for name in seen if name > shard):
            both = sorted(forums.owned & seen[other].owned)[:NAMED]
            doubled.update(both)
            yield from (_two_owners(f, shard, other) for f in both if _own_both(f, shard, other))
    for shard, forums in seen.items():
        astray = (f for f in sorted(forums.owned - moving - doubled) if named.get(f, shard) != shard)
        for _, number in zip(range(NAMED), astray, strict=False):
            yield Finding(
                code="directory_disagrees", severity=Severity.NOTE, shard=shard, forum=number,
                found=f"The forum lives here; the directory names {named[number]}",
                advice="Nothing for readers and writers, who are redirected; manage.py shards reconcile corrects it",
            )  # fmt: skip
    yield from _ownerless(seen, named, moving)


def _two_owners(forum: int, shard: str, other: str) -> Finding:
    return Finding(
        code="two_owners", severity=Severity.STOPS, shard=shard, forum=forum, found=f"{shard} and {other} both own it",
        advice="Stop its writers; manage.py shards reconcile keeps the higher epoch",
    )  # fmt: skip


def _own_both(forum: int, shard: str, other: str) -> bool:
    """Whether it was so in one moment: they were asked at different ones, and the forum may have moved in between."""
    try:
        before, there, after = (ownership_on(alias, forum) for alias in (shard, other, shard))
    except ShardUnavailable:
        return True
    owner = OwnershipMode.OWNER
    return before == after and (before.mode, there.mode) == (owner, owner)


def _ownerless(seen: Mapping[str, Owned], named: Mapping[int, str], moving: set[int]) -> Iterator[Finding]:
    """Forums that no shard has, among those that were asked; the one that the directory names was."""
    everywhere = frozenset[int]().union(*(forums.owned | forums.fenced for forums in seen.values())) | moving
    lost = (f for f, shard in named.items() if f not in everywhere and shard in seen and f <= seen[shard].reached)
    for _, number in zip(range(NAMED), lost, strict=False):
        yield Finding(
            code="no_owner", severity=Severity.STOPS, shard=named[number], forum=number,
            found="The directory names this shard, which does not own the forum; nor does another one that was asked",
            advice="manage.py shards reconcile",
        )  # fmt: skip


def _placements(forum: int | None) -> dict[int, str]:
    """Which shard the directory names for each forum that is finished and not deleted."""
    placements = ForumPlacement.objects.filter(is_ready=True, deleted_at=None)
    if forum is not None:
        placements = placements.filter(pk=forum)
    return dict(placements.values_list("pk", "shard_id").iterator(chunk_size=PAGE))
