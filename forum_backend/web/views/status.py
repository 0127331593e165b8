"""The fleet as staff see it, the form that moves a forum, and what may be asked of a move."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from forum_backend.domain.errors import Conflict, ForumError, Invalid, NotFound, Unavailable
from forum_backend.domain.moves import MoveState
from forum_backend.queries.forums import forum_by
from forum_backend.queries.status_moves import is_as_asked
from forum_backend.queries.status_page import StatusPage, plan_on_page, status_page
from forum_backend.services.accounts import Account
from forum_backend.services.move_control import cancel_move, pause_move, resume_move, rollback_move
from forum_backend.services.moves import request_move
from forum_backend.web.blank import BLANK_MOVE, BLANK_SHARD
from forum_backend.web.forms import MoveForm
from forum_backend.web.refusals import status_of
from forum_backend.web.status_words import RULES
from forum_backend.web.viewer import SeeOther, staff

type Ask = Callable[[int, Account], Any]

ASKS: dict[str, Ask] = {
    "pause": lambda move_id, _: pause_move(move_id=move_id, at="", now=timezone.now()),
    "hold": lambda move_id, _: pause_move(move_id=move_id, at=MoveState.READY, now=timezone.now()),
    "resume": lambda move_id, _: resume_move(move_id=move_id, now=timezone.now()),
    "cancel": lambda move_id, _: cancel_move(move_id=move_id, now=timezone.now()),
    "rollback": lambda move_id, by: rollback_move(move_id=move_id, requested_by=by.id, now=timezone.now()),
}


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    staff(request)
    return status_response(request)


@require_POST
def move(request: HttpRequest) -> HttpResponse:
    account = staff(request)
    form = MoveForm(request.POST)
    if not form.is_valid():
        return status_response(request, form=form, status=422)
    try:
        _request_move(form, account)
    except NotFound:
        form.add_error("forum", "There is no forum of this address or number.")
    except (Conflict, Invalid) as error:
        form.refuse(error)
    else:
        messages.success(request, "The move is planned; it shows below how it goes on.")
        return SeeOther("/status/#moves")
    return status_response(request, form=form, status=422)


def _request_move(form: MoveForm, account: Account) -> None:
    given = form.cleaned_data
    request_move(
        forum_id=forum_by(slug_or_id=given["forum"]),
        target=given["target"],
        requested_by=account.id,
        now=timezone.now(),
        key=given["key"],
    )


@require_POST
def ask(request: HttpRequest, move_id: int) -> HttpResponse:
    """Pause, hold, resume, cancel, roll back. Asked twice it is as asked once; a refusal stands beside the move."""
    account = staff(request)
    do = request.POST.get("do", "")
    try:
        if do not in ASKS:
            raise Invalid("This cannot be asked of a move")
        ASKS[do](move_id, account)
    except (Conflict, Invalid, Unavailable) as error:
        if not is_as_asked(move_id=move_id, do=do):
            return _refused(request, move_id, error)
    return JsonResponse({"detail": ""}) if wants_json(request) else SeeOther(f"/status/#move-{move_id}")


def _refused(request: HttpRequest, move_id: int, error: ForumError) -> HttpResponse:
    status = status_of(error) or 400
    if wants_json(request):
        return JsonResponse({"detail": error.detail}, status=status)
    return status_response(request, refused=(str(move_id), error.detail), status=status)


def wants_json(request: HttpRequest) -> bool:
    """Whether a script asks, which shows the answer itself."""
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def status_response(
    request: HttpRequest,
    *,
    form: MoveForm | None = None,
    refused: tuple[str, str] = ("", ""),
    digest: str = "",
    plan_refusal: str = "",
    status: int = 200,
) -> HttpResponse:
    """The page; ``refused`` names a move and says why, ``digest`` the plan that is shown (else the address does)."""
    page = status_page(now=timezone.now())
    digest = digest or request.GET.get("plan", "")[:64]
    plan = plan_on_page(digest) if digest else None
    if digest and plan is None:
        plan_refusal = plan_refusal or "There is no such plan any more; make a new one."
    context = {
        "page": page,
        "live": {**page.live, "rules": RULES},
        "form": form or MoveForm(initial={"forum": request.GET.get("forum", "")[:60]}),
        "refusal": _beside_its_move(page, refused),
        "plan": plan,
        "plan_refusal": plan_refusal,
        "blank": {"move": BLANK_MOVE, "shard": BLANK_SHARD},
    }
    return render(request, "web/status.html", context, status=status)


def _beside_its_move(page: StatusPage, refused: tuple[str, str]) -> str:
    """Write a refusal to its move; what is left to say above all if the move is not on the page."""
    move_id, text = refused
    for move in [*page.running, *page.finished]:
        if move["id"] == move_id:
            move["refusal"] = text
            return ""
    return text
