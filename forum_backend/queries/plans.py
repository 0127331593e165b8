"""Reading plans: their shape for readers, one by its hash, the newest."""

from typing import Any

from django.db.models import QuerySet

from forum_backend.data.control.directory.models import Plan
from forum_backend.domain.errors import NotFound
from forum_backend.queries.paging import Order, read_page
from forum_backend.queries.shapes import optional_timestamp, timestamp

NEWEST_FIRST = Order("plans", ("id",), (int,), is_descending=True)


def plan_shape(plan: Plan) -> dict[str, Any]:
    """A plan as readers see it. Each move has its reason and, once the plan is applied, what came of the request."""
    return {
        "hash": plan.hash,
        "created_at": timestamp(plan.created_at),
        "applied_at": optional_timestamp(plan.applied_at),
        "moves": plan.moves,
        **plan.content,
    }


def get_plan(digest: str) -> Plan:
    """One plan, or ``NotFound``."""
    plan = plans_named(digest).first()
    if plan is None:
        raise NotFound("plan", digest)
    return plan


def plans_named(digest: str) -> QuerySet[Plan]:
    """The plan with this hash; none for what cannot be a hash."""
    return Plan.objects.filter(hash=digest) if digest.isascii() and digest.isalnum() else Plan.objects.none()


def plan_page(*, cursor: str | None, limit: int) -> dict[str, Any]:
    """Plans, newest first."""
    page = read_page(Plan.objects.all(), order=NEWEST_FIRST, cursor=cursor, limit=limit)
    return page.answer([plan_shape(plan) for plan in page.rows])
