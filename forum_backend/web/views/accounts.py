"""Joining, signing in and out."""

from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from forum_backend.domain.errors import Conflict, Invalid, NotAuthenticated, TooManyRequests
from forum_backend.services import accounts
from forum_backend.services.attempts import count_attempt
from forum_backend.web.forms import SignInForm, SignUpForm
from forum_backend.web.viewer import SeeOther, safe_next, viewer
from forum_backend.web.views.form_pages import form_page

BACKEND = "django.contrib.auth.backends.ModelBackend"


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    if request.method != "POST" and viewer(request) is not None:
        return SeeOther("/")
    form = SignUpForm(request.POST or None, initial={"next": request.GET.get("next", "")})
    if form.is_valid():
        given = dict(form.cleaned_data)
        address = given.pop("next")
        try:
            count_attempt(address=_address(request), username=given["username"])
            user = accounts.register(now=timezone.now(), **given)
        except (Invalid, Conflict, TooManyRequests) as error:
            form.refuse(error)
        else:
            login(request, user, backend=BACKEND)
            return SeeOther(safe_next(request, address))
    return form_page(
        request,
        form,
        width="narrow",
        heading="Join",
        verb="Create the account",
        aside_text="Here before?",
        aside_url="/sign-in",
        aside_link="Sign in",
    )


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    address = safe_next(request, request.POST.get("next") or request.GET.get("next", ""))
    if request.method != "POST" and viewer(request) is not None:
        return SeeOther(address)
    form = SignInForm(request.POST or None, initial={"next": address})
    if form.is_valid():
        try:
            count_attempt(address=_address(request), username=form.cleaned_data["username"])
            user = accounts.authenticate(username=form.cleaned_data["username"], password=form.cleaned_data["password"])
        except (NotAuthenticated, TooManyRequests) as error:
            form.refuse(error)
        else:
            login(request, user, backend=BACKEND)
            return SeeOther(address)
    return form_page(
        request,
        form,
        width="narrow",
        heading="Sign in",
        verb="Sign in",
        aside_text="New here?",
        aside_url="/sign-up",
        aside_link="Join",
    )


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return SeeOther("/")


def _address(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))
