"""What would stop a move, found before anything is copied: of one forum and target, or of the whole fleet."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from forum_backend.data.control.directory.models import ForumLoad, ForumPlacement, Shard
from forum_backend.data.control.moves.models import Move
from forum_backend.domain.errors import MoveRefused, NotFound, Unavailable
from forum_backend.domain.findings import Finding, Severity, stopping, worst_first
from forum_backend.domain.moves import EXCLUSIVE, RUNNING, MoveState
from forum_backend.queries.forum_read import forum_read
from forum_backend.services.doctor.directory import disagreements
from forum_backend.services.doctor.leftovers import Attempt, unexplained
from forum_backend.services.doctor.looking import QUICK_S, TIME_LIMIT_S, Looked, Seen, look_at, look_quickly
from forum_backend.services.doctor.schema import (
    Schema,
    differences,
    loose_keys,
    missing_migrations,
    unguarded,
)
from forum_backend.services.doctor.server import ServerFacts, unfit, unlike
from forum_backend.services.doctor.sessions import LONG_S, in_the_way
from routers.registry import registry

# What a move that ended so long ago left is not left: shards and moves are not read in one moment.
JUST_NOW = timedelta(seconds=30)
# Of a forum whose load was not measured yet.
ROW_BYTES = 500


def examine_fleet(*, now: datetime, long_s: float = LONG_S) -> list[Finding]:
    """Each shard by itself and against the others; a shard that does not answer is a finding."""
    registry.refresh()
    shards = list(Shard.objects.exclude(state=Shard.State.REMOVED).values_list("name", flat=True))
    looked = look_at(shards, long_s=long_s)
    moves = _attempts(now=now)
    moving = {attempt.forum for attempt in moves}
    return worst_first([
        *_not_seen(looked),
        *_not_active(),
        *_of_shards(looked.seen, moves, long_s=long_s),
        *disagreements({name: seen.owned for name, seen in looked.seen.items()}, moving=moving),
    ])  # fmt: skip


def examine_move(
    *, forum_id: int, target: str, now: datetime, own_move: int | None = None, long_s: float = LONG_S
) -> list[Finding]:
    """What a move of this forum to this shard would meet.

    ``own_move`` is one that runs: it does not stop itself, and does not wait for shards that it has nothing to do with.
    """
    placement = ForumPlacement.objects.filter(pk=forum_id, deleted_at=None).first()
    if placement is None:
        raise NotFound("forum", forum_id)
    if not Shard.objects.filter(pk=target).exclude(state=Shard.State.REMOVED).exists():
        raise NotFound("shard", target)
    source = _home(placement, own_move=own_move)
    registry.refresh()
    asked = registry.aliases() if own_move is None else [source, target]
    time_limit_s = TIME_LIMIT_S if own_move is None else QUICK_S
    looked = look_at(asked, forum=forum_id, long_s=long_s, time_limit_s=time_limit_s)
    moves = _attempts(now=now, forum=forum_id)
    both = {name: looked.seen[name] for name in dict.fromkeys((source, target)) if name in looked.seen}
    elsewhere = {name: seen.owned for name, seen in looked.seen.items()}
    return worst_first([
        *(finding for finding in _not_seen(looked) if finding.shard in {source, target}),
        *_not_active(target),
        *_of_forum(placement, source=source, target=target, own_move=own_move),
        *_of_shards(both, moves, like=source, needed={target: _bytes_of(forum_id)}, long_s=long_s),
        *disagreements(elsewhere, moving={attempt.forum for attempt in moves}, forum=forum_id),
    ])  # fmt: skip


def refuse_what_stops(*, forum_id: int, target: str, own_move: int, now: datetime) -> None:
    """``MoveRefused`` with the first finding that would stop this move; for its first step."""
    _refuse(examine_move(forum_id=forum_id, target=target, own_move=own_move, now=now))


def refuse_what_stops_at_once(*, source: str, target: str) -> None:
    """``MoveRefused`` by what can be seen in milliseconds: servers and tables, nothing that grows with the shard."""
    looked = look_quickly([source, target])
    servers = {name: server for name, (server, _) in looked.seen.items()}
    schemas = {name: schema for name, (_, schema) in looked.seen.items()}
    _refuse([*_not_seen(looked), *_of_tables(servers, schemas, like=source)])


def _refuse(findings: list[Finding]) -> None:
    stops = stopping(findings)
    if stops:
        more = f" (and {len(stops) - 1} more: moves doctor)" if len(stops) > 1 else ""
        raise MoveRefused(f"{stops[0].shard}: {stops[0].found}. {stops[0].advice}{more}")


def _of_shards(
    seen: Mapping[str, Seen],
    moves: list[Attempt],
    *,
    long_s: float,
    like: str | None = None,
    needed: Mapping[str, int] | None = None,
) -> Iterator[Finding]:
    servers = {name: found.server for name, found in seen.items()}
    schemas = {name: found.schema for name, found in seen.items()}
    yield from _of_tables(servers, schemas, like=like, needed=needed or {})
    for name, found in seen.items():
        yield from in_the_way(name, found.sessions, long_s=long_s)
        yield from unexplained(name, found.traces, moves)


def _of_tables(
    servers: Mapping[str, ServerFacts],
    schemas: Mapping[str, Schema],
    *,
    like: str | None = None,
    needed: Mapping[str, int] | None = None,
) -> Iterator[Finding]:
    model = like if like in servers else None
    for name, server in servers.items():
        yield from unfit(name, server, needed=(needed or {}).get(name, 0))
    for name, schema in schemas.items():
        for judge in _JUDGES:
            yield from judge(name, schema)
    yield from unlike(servers, like=model)
    if len(schemas) > 1:
        yield from differences(schemas, like=model)


_JUDGES: tuple[Callable[[str, Schema], Iterator[Finding]], ...] = (unguarded, loose_keys, missing_migrations)


def _not_seen(looked: Looked[Any]) -> Iterator[Finding]:
    for name in looked.silent:
        yield Finding(
            code="shard_down", severity=Severity.STOPS, shard=name, found=f"{name} does not answer, or not in time",
            advice="See to its server and to the way there",
        )  # fmt: skip
    for name, reason in looked.unread.items():
        yield Finding(
            code="not_examined", severity=Severity.STOPS, shard=name, found=f"{name} could not be read: {reason}",
            advice="See to the rights of this service's role there, or ask again when the server is less busy",
        )  # fmt: skip


def _home(placement: ForumPlacement, *, own_move: int | None) -> str:
    """Where the forum lives: a move knows for itself; what this process remembers may be old, the shards are asked."""
    if own_move is not None:
        return Move.objects.get(pk=own_move).source_id
    try:
        return forum_read(placement.pk, lambda alias: alias)
    except (Unavailable, NotFound):
        return placement.shard_id


def _not_active(target: str | None = None) -> Iterator[Finding]:
    """A target that is drained stops a move; in the fleet it is worth a word."""
    draining = Shard.objects.filter(state=Shard.State.DRAINING)
    for name in (draining.filter(pk=target) if target else draining).values_list("name", flat=True):
        yield Finding(
            code="draining", severity=Severity.STOPS if target else Severity.NOTE, shard=name,
            found=f"{name} is draining: it takes no forums",
            advice=f"Another target, or manage.py shards drain {name} --undo",
        )  # fmt: skip


def _of_forum(placement: ForumPlacement, *, source: str, target: str, own_move: int | None) -> Iterator[Finding]:
    running = Move.objects.filter(forum=placement, state__in=sorted(EXCLUSIVE)).first()
    told = Finding(
        code="", severity=Severity.NOTE, shard=placement.shard_id, forum=placement.pk, found="", advice=""
    )  # fmt: skip
    if running is not None and running.pk != own_move:
        yield replace(
            told, code="on_the_move", severity=Severity.STOPS, found=f"Move {running.pk} of it is {running.state}",
            advice=f"manage.py moves explain {running.pk}",
        )  # fmt: skip
    if source == target:
        yield replace(
            told, code="lives_there", severity=Severity.STOPS, found=f"The forum lives on {target} already",
            advice="Another target",
        )  # fmt: skip
    if not placement.is_ready:
        yield replace(
            told, code="not_ready", severity=Severity.STOPS, found="Its creation is not finished",
            advice="Its owner creates it again with the same Idempotency-Key",
        )  # fmt: skip
    if placement.is_pinned:
        yield replace(
            told, code="pinned", found="It is pinned: no plan moves it", advice="Nothing for a move that is asked for"
        )  # fmt: skip


def _bytes_of(forum_id: int) -> int:
    """What a forum takes on disk, as it was measured last."""
    load = ForumLoad.objects.filter(pk=forum_id).first()
    return max(load.bytes, load.rows_count * ROW_BYTES) if load else 0


def _attempts(*, now: datetime, forum: int | None = None) -> list[Attempt]:
    """Moves that account for what a shard has of a forum."""
    alive = Q(state__in=sorted(RUNNING)) | Q(finished_at__gt=now - JUST_NOW)
    moves = Move.objects.filter(alive | Q(state=MoveState.ABORTED, has_leftovers=True))
    if forum is not None:
        moves = moves.filter(forum_id=forum)
    return [
        Attempt(move, number, frozenset((source, target)))
        for move, number, source, target in moves.values_list("pk", "forum_id", "source_id", "target_id")
    ]
