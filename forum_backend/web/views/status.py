"""The fleet as staff see it, and the form that moves a forum."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from forum_backend.domain.errors import Conflict, Invalid, NotFound
from forum_backend.queries.forums import forum_by
from forum_backend.queries.status_page import status_page
from forum_backend.services.accounts import Account
from forum_backend.services.moves import request_move
from forum_backend.web.forms import MoveForm
from forum_backend.web.viewer import SeeOther, staff


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    staff(request)
    initial = {"forum": request.GET.get("forum", "")[:60]}
    return _status_response(request, MoveForm(initial=initial))


@require_POST
def move(request: HttpRequest) -> HttpResponse:
    account = staff(request)
    form = MoveForm(request.POST)
    if not form.is_valid():
        return _status_response(request, form, status=422)
    try:
        _request_move(form, account)
    except NotFound:
        form.add_error("forum", "There is no forum of this address or number.")
    except (Conflict, Invalid) as error:
        form.refuse(error)
    else:
        messages.success(request, "The move is planned; it shows below how it goes on.")
        return SeeOther("/status/#moves")
    return _status_response(request, form, status=422)


def _request_move(form: MoveForm, account: Account) -> None:
    given = form.cleaned_data
    request_move(
        forum_id=forum_by(slug_or_id=given["forum"]),
        target=given["target"],
        requested_by=account.id,
        now=timezone.now(),
        key=given["key"],
    )


def _status_response(request: HttpRequest, form: MoveForm, *, status: int = 200) -> HttpResponse:
    return render(request, "web/status.html", {"page": status_page(), "form": form}, status=status)
