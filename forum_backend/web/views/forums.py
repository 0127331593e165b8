"""A forum's page, opening a forum, changing what it says of itself."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from forum_backend.domain.errors import Conflict, Forbidden, Invalid
from forum_backend.queries.forum_page import forum_page, read_head
from forum_backend.queries.forums import forum_by
from forum_backend.services import forums
from forum_backend.web.forms import ForumForm, NewForumForm
from forum_backend.web.places import read_place, write_place
from forum_backend.web.viewer import SeeOther, may_moderate, member, viewer
from forum_backend.web.views.form_pages import form_page


@require_safe
def show(request: HttpRequest, slug: str) -> HttpResponse:
    after = read_place(request.GET.get("after", ""))
    start = (after.is_pinned, after.at, after.id) if after else None
    page = forum_page(forum=forum_by(slug_or_id=slug), after=start)
    following = write_place(page.next[1], page.next[2], is_pinned=page.next[0]) if page.next else None
    context = {
        "page": page,
        "forum": page.forum,
        "next": following,
        "is_later": after is not None,
        "may_manage": may_moderate(viewer(request), page.forum.owner_id),
    }
    return render(request, "web/forum.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def create(request: HttpRequest) -> HttpResponse:
    account = member(request)
    form = NewForumForm(request.POST or None)
    if form.is_valid():
        try:
            forum = forums.create_forum(owner_id=account.id, now=timezone.now(), **form.cleaned_data)
        except (Invalid, Conflict) as error:
            form.refuse(error)
        else:
            return SeeOther(f"/f/{forum['slug']}/")
    return form_page(request, form, heading="New forum", verb="Open the forum", back="/")


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    account = member(request)
    head = read_head(forum_by(slug_or_id=slug))
    if not may_moderate(account, head.owner_id):
        raise Forbidden("Only the forum's owner and staff may do this")
    form = ForumForm(request.POST or None, initial={"name": head.name, "description": head.description})
    if form.is_valid():
        try:
            forums.update_forum(forum_id=head.id, account=account, changes=form.cleaned_data, now=timezone.now())
        except Invalid as error:
            form.refuse(error)
        else:
            return SeeOther(f"/f/{head.slug}/")
    trail = [("Forums", "/"), (head.name, f"/f/{head.slug}/")]
    return form_page(request, form, heading="Edit this forum", verb="Save", back=f"/f/{head.slug}/", trail=trail)
