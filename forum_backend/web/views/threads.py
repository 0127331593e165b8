"""A thread's page, its composer, and what moderators do with it."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from forum_backend.domain.errors import Conflict, Forbidden, Invalid
from forum_backend.queries.forum_page import read_head
from forum_backend.queries.forums import forum_by
from forum_backend.queries.thread_page import PageStart, PostOrder, ThreadPage, thread_page
from forum_backend.services import threads
from forum_backend.web.blank import BLANK_POST
from forum_backend.web.forms import NewThreadForm, PageForm, ReplyForm
from forum_backend.web.viewer import SeeOther, may_moderate, member, viewer
from forum_backend.web.views.form_pages import form_page

CHANGES = {
    "open": {"is_closed": False},
    "close": {"is_closed": True},
    "pin": {"is_pinned": True},
    "unpin": {"is_pinned": False},
}


@require_safe
def show(request: HttpRequest, thread_id: int, slug: str = "") -> HttpResponse:  # noqa: ARG001 (slugs are for people)
    reply_to = number_in(request.GET.get("reply", ""))
    return thread_response(request, thread_id, reply=ReplyForm(), reply_to=reply_to)


def thread_response(
    request: HttpRequest, thread_id: int, *, reply: ReplyForm, reply_to: int | None, order: str = "", status: int = 200
) -> HttpResponse:
    """The page of a thread, with a form to reply to it, or to one of its posts."""
    account = viewer(request)
    start = PageStart(after=number_in(request.GET.get("after", "")), before=number_in(request.GET.get("before", "")))
    page = thread_page(
        thread=thread_id,
        order=order_of(order or request.GET.get("order", "")),
        start=start,
        reader=account.id if account else None,
    )
    return render(request, "web/thread.html", _context(request, page, start, reply, reply_to), status=status)


def _context(
    request: HttpRequest, page: ThreadPage, start: PageStart, reply: ReplyForm, reply_to: int | None
) -> dict[str, Any]:
    shown = {post.id for post in page.posts if not post.is_hidden}
    cursor = {"after": start.after} if start.after else {"before": start.before} if start.before else {}
    return {
        "page": page,
        "forum": page.forum,
        "thread": page.thread,
        "order": str(page.order),
        "orders": [str(order) for order in PostOrder],
        "cursor": urlencode(cursor),
        "blank": BLANK_POST,
        "reply": reply,
        "blank_reply": ReplyForm(),
        "reply_to": reply_to if reply_to in shown else None,
        "may_manage": may_moderate(viewer(request), page.forum.owner_id),
    }


@require_http_methods(["GET", "HEAD", "POST"])
def create(request: HttpRequest, slug: str) -> HttpResponse:
    account = member(request)
    head = read_head(forum_by(slug_or_id=slug))
    form = NewThreadForm(request.POST or None)
    if form.is_valid():
        try:
            thread = threads.create_thread(
                forum_id=head.id, author_id=account.id, now=timezone.now(), **form.cleaned_data
            )
        except (Invalid, Conflict) as error:
            form.refuse(error)
        else:
            return SeeOther(f"/t/{thread['id']}/#p-{thread['post']['id']}")
    trail = [("Forums", "/"), (head.name, f"/f/{head.slug}/")]
    return form_page(request, form, heading="New thread", verb="Post it", back=f"/f/{head.slug}/", trail=trail)


@require_POST
def manage(request: HttpRequest, thread_id: int) -> HttpResponse:
    changes = CHANGES.get(request.POST.get("do", ""))
    if changes is None:
        raise Invalid("There is no such change")
    threads.update_thread(thread_id=thread_id, account=member(request), changes=changes, now=timezone.now())
    return SeeOther(f"/t/{thread_id}/")


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, thread_id: int) -> HttpResponse:
    account = member(request)
    page = thread_page(thread=thread_id)
    if not may_moderate(account, page.forum.owner_id):
        raise Forbidden("Only the forum's owner and staff may do this")
    if request.method == "POST":
        threads.delete_thread(thread_id=thread_id, account=account, now=timezone.now())
        return SeeOther(f"/f/{page.forum.slug}/")
    return form_page(
        request,
        PageForm(),
        heading="Delete this thread?",
        lead=f"“{page.thread.title}” and all its posts go from view.",
        verb="Delete it",
        danger=True,
        back=f"/t/{thread_id}/",
    )


def order_of(text: str) -> PostOrder:
    """The order asked for; nested if there is no such order."""
    return PostOrder(text) if text in set(PostOrder) else PostOrder.NESTED


def number_in(text: str) -> int | None:
    """The number that a field or an address holds, if it is one that the databases keep."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
