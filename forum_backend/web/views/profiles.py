"""A user's page, and editing one's own."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from forum_backend.domain.errors import Invalid
from forum_backend.queries.bylines import Byline
from forum_backend.queries.profiles import profile_by
from forum_backend.services.profiles import update_profile
from forum_backend.web.forms import ProfileForm
from forum_backend.web.viewer import SeeOther, member, viewer
from forum_backend.web.views.form_pages import form_page


@require_safe
def show(request: HttpRequest, username: str) -> HttpResponse:
    profile = profile_by(username=username)
    account = viewer(request)
    context = {
        "profile": profile,
        "byline": Byline(profile["display_name"], profile["username"]),
        "is_own": account is not None and account.username == profile["username"],
    }
    return render(request, "web/profile.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest) -> HttpResponse:
    account = member(request)
    present = profile_by(username=account.username)
    form = ProfileForm(request.POST or None, initial=present)
    if form.is_valid():
        try:
            update_profile(user_id=account.id, changes=form.cleaned_data, now=timezone.now())
        except Invalid as error:
            form.refuse(error)
        else:
            return SeeOther(f"/u/{account.username}/")
    back = f"/u/{account.username}/"
    return form_page(request, form, heading="Your profile", verb="Save", back=back, trail=[(account.username, back)])
