"""Plans on the status page: made without moving anything, shown, applied once by their hash."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_POST

from forum_backend.domain.errors import Conflict, NotFound
from forum_backend.queries.plans import plans_named
from forum_backend.services.plans import apply_plan, make_plan
from forum_backend.web.viewer import SeeOther, staff
from forum_backend.web.views.status import status_response


@require_POST
def make(request: HttpRequest) -> HttpResponse:
    account = staff(request)
    plan = make_plan(requested_by=account.id, now=timezone.now())
    return SeeOther(f"/status/?plan={plan.hash}#plan")


@require_POST
def apply(request: HttpRequest, digest: str) -> HttpResponse:
    """The second time it is as the first: the plan with the moves it became."""
    account = staff(request)
    try:
        apply_plan(digest=digest, requested_by=account.id, now=timezone.now())
    except NotFound as error:
        return status_response(request, plan_refusal=f"{error.detail} any more; make a new one", status=404)
    except Conflict as error:
        if not plans_named(digest).exclude(applied_at=None).exists():
            return status_response(request, digest=digest, plan_refusal=error.detail, status=409)
    return SeeOther(f"/status/?plan={digest}#plan")
