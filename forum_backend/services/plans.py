"""Plans: made from the fleet as it is, kept by their hash, applied once and only while the fleet is as it was."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import Max

from forum_backend.data.control.directory.models import ForumPlacement, Plan, Shard
from forum_backend.domain.errors import ForumError, NotFound, PlanRefused
from forum_backend.domain.fleet import Fleet, Rules
from forum_backend.domain.plan import PlannedMove, Proposal, hash_of, propose
from forum_backend.queries.fleet import arrangement, read_fleet, read_pace
from forum_backend.queries.plans import plans_named
from forum_backend.services.moves import request_move
from forum_backend.services.status_events import record_status

logger = logging.getLogger(__name__)

GOOD_FOR = timedelta(minutes=10)
KEPT = timedelta(days=30)
FORGOTTEN_AT_ONCE = 100
# A drain goes on every few seconds: a few moves at a time are enough, and leave room for an operator's own.
DRAIN = Rules(drains_only=True, moves_in_all=12, moves_per_shard=8)
AVOIDED_FOR = timedelta(minutes=1)
ROUNDS = 10


def make_plan(*, requested_by: int | None, now: datetime, rules: Rules | None = None) -> Plan:
    """Look at the fleet and keep the plan that makes it more even. Moves nothing; ``requested_by`` is a user's id."""
    plan = _proposed(requested_by=requested_by, now=now, rules=rules or Rules())
    _keep(plan, now=now)
    return plan


def _proposed(*, requested_by: int | None, now: datetime, rules: Rules) -> Plan:
    highest = ForumPlacement.objects.aggregate(highest=Max("forum_id"))["highest"] or 0
    fingerprint = arrangement(highest_forum=highest)  # read first: what changes from here on makes the plan stale
    fleet, pace = read_fleet(now=now), read_pace()
    proposal = propose(fleet, rules=rules, pace=pace)
    return Plan(
        hash=hash_of(fleet, rules, pace, proposal),
        moves=_with_slugs(proposal.moves),
        content=_content(fleet, rules, proposal),
        arrangement=fingerprint,
        highest_forum=highest,
        requested_by_id=requested_by,
        created_at=now,
    )


def _keep(plan: Plan, *, now: datetime) -> None:
    with transaction.atomic(using="default"):
        old = Plan.objects.filter(created_at__lt=now - KEPT).order_by("pk").values_list("pk", flat=True)
        Plan.objects.filter(pk__in=list(old[:FORGOTTEN_AT_ONCE])).delete()
        Plan.objects.filter(hash=plan.hash).delete()  # the same plan, made again: as good as new
        plan.save(force_insert=True)


def _with_slugs(moves: Sequence[PlannedMove]) -> list[dict[str, Any]]:
    placements = ForumPlacement.objects.filter(pk__in=[move.forum for move in moves])
    slugs = dict(placements.values_list("forum_id", "slug"))
    return [{**asdict(move), "forum": str(move.forum), "slug": slugs.get(move.forum, "")} for move in moves]


def _content(fleet: Fleet, rules: Rules, proposal: Proposal) -> dict[str, Any]:
    after = fleet
    for move in proposal.moves:
        after = after.with_forum_on(move.forum, move.target)
    return {
        "before": {"spread": proposal.spread_before, "excess": proposal.excess_before, "shards": _shards(fleet)},
        "after": {"spread": proposal.spread_after, "excess": proposal.excess_after, "shards": _shards(after)},
        "held": [{**asdict(held), "forum": str(held.forum)} for held in proposal.held],
        "rules": {"threshold": rules.threshold, "drains_only": rules.drains_only,
                  "moves_in_all": rules.moves_in_all, "moves_per_shard": rules.moves_per_shard},
        "note": _note(proposal, rules),
    }  # fmt: skip


def _shards(fleet: Fleet) -> list[dict[str, Any]]:
    return [
        {"name": shard.name, "is_draining": shard.is_draining, "answers": shard.answers, **shard.load._asdict()}
        for shard in fleet.shards
    ]


def _note(proposal: Proposal, rules: Rules) -> str:
    excess = f"The fullest shard is {proposal.excess_before:.0%} above the average"
    if proposal.moves:
        return f"{excess}, after the plan {proposal.excess_after:.0%}"
    if proposal.held:
        return f"Nothing can move now: {proposal.held[0].reason}"
    if rules.drains_only:
        return "No shard is drained"
    if proposal.excess_before <= rules.threshold:
        return f"{excess}: the fleet is even enough (up to {rules.threshold:.0%})"
    return f"{excess}, but no move that is allowed now would help"


def apply_plan(*, digest: str, requested_by: int | None, now: datetime) -> Plan:
    """Request the moves of a plan, once. ``PlanRefused`` if the fleet is no longer the one it was made for.

    A single move may be refused all the same, for its forum was deleted a moment ago or a shard has died: the plan's
    ``moves`` say of each which move it became, or why it did not, as soon as it is known.
    """
    plan = _take(digest, now=now)
    for number, planned in enumerate(plan.moves):
        key = f"plan:{plan.hash}:{number}" if requested_by is not None else None
        planned |= _outcome(planned, requested_by=requested_by, now=now, key=key)
        plan.save(update_fields=["moves"])
    return plan


def _outcome(planned: dict[str, Any], *, requested_by: int | None, now: datetime, key: str | None) -> dict[str, str]:
    """Ask for a move; what became of it."""
    try:
        move = request_move(
            forum_id=int(planned["forum"]),
            target=planned["target"],
            requested_by=requested_by,
            now=now,
            key=key,
            reason=planned["reason"],
        )
    except ForumError as refusal:
        return {"refused": refusal.detail}
    except (DatabaseError, InterfaceError) as error:
        return {"refused": (str(error).strip().splitlines() or [type(error).__name__])[0]}
    return {"move": str(move.pk)}


def _take(digest: str, *, now: datetime) -> Plan:
    """Mark a plan as applied before its first move is asked for, so that nobody applies it twice."""
    with transaction.atomic(using="default"):
        plan = plans_named(digest).select_for_update().first()
        if plan is None:
            raise NotFound("plan", digest)
        if plan.applied_at is not None:
            raise PlanRefused(f"Plan {digest} was applied already; make a new one")
        if now - plan.created_at > GOOD_FOR:
            raise PlanRefused(f"Plan {digest} is older than {GOOD_FOR.seconds // 60} minutes; make a new one")
        if arrangement(highest_forum=plan.highest_forum) != plan.arrangement:
            raise PlanRefused(f"Owners, pins, shards or moves have changed since plan {digest}; make a new one")
        plan.applied_at = now
        plan.save(update_fields=["applied_at"])
    return plan


def drain_on(*, now: datetime, requested_by: int | None = None) -> Plan | None:
    """Plan and apply the next moves off the shards that are drained; None if nothing lives there.

    What a shard refuses is offered to the next best one, and to that shard again after a while. A plan without moves
    is not kept: it says what holds the forums.
    """
    waiting = ForumPlacement.objects.filter(shard__state=Shard.State.DRAINING, deleted_at=None, is_ready=True)
    if not waiting.exists():
        return None
    avoided, applied = _refused_lately(now), None
    for _round in range(ROUNDS):
        rules = replace(DRAIN, avoided=tuple(sorted(avoided)))
        plan = _proposed(requested_by=requested_by, now=now, rules=rules)
        if not plan.moves:
            return applied or plan
        _keep(plan, now=now)
        try:
            applied = apply_plan(digest=plan.hash, requested_by=requested_by, now=now)
        except PlanRefused:
            continue  # somebody asks for moves at the same moment: look again
        refusing = _refusing(applied)
        if not refusing:
            break
        _tell_refusals(applied, refusing, now=now)
        avoided |= refusing.keys()
    return applied


def _refused_lately(now: datetime) -> set[str]:
    """Shards that refused what a drain asked of them: each would be the emptiest one, and be asked for ever."""
    plans = Plan.objects.filter(created_at__gt=now - AVOIDED_FOR, applied_at__isnull=False)
    drains = plans.filter(content__rules__drains_only=True)
    return {shard for plan in drains for shard in _refusing(plan)}


def _refusing(plan: Plan) -> dict[str, dict[str, Any]]:
    """Targets that refused a move of the plan and took none, with what they refused first."""
    took = {move["target"] for move in plan.moves if "refused" not in move}
    refused = [move for move in plan.moves if "refused" in move and move["target"] not in took]
    return {move["target"]: move for move in reversed(refused)}


def _tell_refusals(plan: Plan, refusing: dict[str, dict[str, Any]], *, now: datetime) -> None:
    for target, move in refusing.items():
        extra = {"action": "drain", "shard": target, "forum": int(move["forum"]), "error": move["refused"]}
        logger.warning("A shard refused what a drain was to bring there; others are asked", extra=extra)
        news = {"plan": plan.hash, "shard": target, "forum": move["forum"], "reason": move["refused"]}
        with transaction.atomic(using="default"):
            record_status(type="drain.refused", data=news, now=now)


def pin(*, forum_id: int, is_pinned: bool) -> None:
    """Keep a forum where it is, or let plans move it again. ``NotFound`` if there is no such forum."""
    if not ForumPlacement.objects.filter(pk=forum_id, deleted_at=None).update(is_pinned=is_pinned):
        raise NotFound("forum", forum_id)


def rules_with(**given: float | int | None) -> Rules:
    """The usual rules, with those that an operator gave."""
    return replace(Rules(), **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
