"""The front page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from forum_backend.queries.front_page import front_page
from forum_backend.web.places import read_place, write_place


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    after = read_place(request.GET.get("after", ""))
    page = front_page(after=(after.at, after.id) if after else None)
    context = {"page": page, "is_later": after is not None, "next": write_place(*page.next) if page.next else None}
    return render(request, "web/front.html", context)
