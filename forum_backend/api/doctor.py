"""Staff: what would stop a move, asked before any copy. Mounted at the API's root."""

from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from forum_backend.api.moves import StaffBearer
from forum_backend.api.schemas import Text
from forum_backend.domain.errors import Invalid
from forum_backend.domain.findings import Severity, stopping
from forum_backend.queries.forums import forum_by
from forum_backend.services.crossing import in_service_thread
from forum_backend.services.doctor import examine_fleet, examine_move


class FindingOut(Schema):
    """``forum`` null: it concerns all forums of the shard."""

    code: str
    severity: Severity
    shard: str
    forum: str | None
    found: str
    advice: str = Field(description="What to do.")


class ExaminationOut(Schema):
    stops: bool = Field(description="Whether a move would fail with any of these.")
    findings: list[FindingOut]


router = Router(auth=StaffBearer(), tags=["moves"])
Name = Annotated[Text | None, Field(max_length=60)]


@router.get("/doctor", response=ExaminationOut, summary="What would stop a move")
async def doctor(request: HttpRequest, forum: Name = None, target: Name = None) -> dict[str, Any]:
    """Of a forum (id or slug) to a target; without both, of the whole fleet. Changes nothing."""
    if (forum is None) != (target is None):
        raise Invalid("Name forum and target, or neither", fields={"target" if target is None else "forum": "missing"})
    return await in_service_thread(_examine, forum=forum, target=target)


def _examine(*, forum: str | None, target: str | None) -> dict[str, Any]:
    now = timezone.now()
    if forum is None or target is None:
        findings = examine_fleet(now=now)
    else:
        findings = examine_move(forum_id=forum_by(slug_or_id=forum), target=target, now=now)
    return {"stops": bool(stopping(findings)), "findings": [finding.shape() for finding in findings]}
