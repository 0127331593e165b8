"""Replies, and what can be done with one post: find it, edit it, delete it, vote on it."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from forum_backend.domain.errors import Conflict, Forbidden, Invalid
from forum_backend.queries.thread_page import PostOrder, PostToEdit, place_of_post, post_to_edit
from forum_backend.services import posts, votes
from forum_backend.services.accounts import Account
from forum_backend.web.forms import EditPostForm, PageForm, ReplyForm
from forum_backend.web.viewer import SeeOther, may_moderate, member, post_address
from forum_backend.web.views.form_pages import form_page
from forum_backend.web.views.threads import number_in, order_of, thread_response


def _address(post: int, order: PostOrder = PostOrder.NESTED) -> str:
    place = place_of_post(post=post, order=order)
    return post_address(thread=place.thread, post=post, after=place.after, order=order)


@require_safe
def show(request: HttpRequest, post_id: int) -> HttpResponse:  # noqa: ARG001 (a view is given the request)
    response = SeeOther(_address(post_id))
    response.status_code = 302
    return response


@require_http_methods(["GET", "HEAD", "POST"])
def reply(request: HttpRequest, thread_id: int) -> HttpResponse:
    if request.method != "POST":
        return SeeOther(f"/t/{thread_id}/#answer")
    account = member(request)
    form = ReplyForm(request.POST)
    order = order_of(request.POST.get("order", ""))
    parent = number_in(request.POST.get("parent", ""))
    if form.is_valid():
        try:
            post = posts.create_post(
                thread_id=thread_id,
                author_id=account.id,
                body=form.cleaned_data["body"],
                parent_id=parent,
                now=timezone.now(),
                key=form.cleaned_data["key"],
            )
        except (Invalid, Conflict) as error:
            form.refuse(error)
        else:
            return SeeOther(_address(int(post["id"]), order))
    return thread_response(request, thread_id, reply=form, reply_to=parent, order=order, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, post_id: int) -> HttpResponse:
    account, post = _post_of_member(request, post_id)
    form = EditPostForm(request.POST or None, initial={"body": post.body})
    if form.is_valid():
        try:
            posts.update_post(post_id=post_id, account=account, body=form.cleaned_data["body"], now=timezone.now())
        except (Invalid, Conflict) as error:
            form.refuse(error)
        else:
            return SeeOther(_address(post_id))
    trail = [(post.title, f"/t/{post.thread}/")]
    return form_page(request, form, heading="Edit your post", verb="Save", back=f"/p/{post_id}/", trail=trail)


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, post_id: int) -> HttpResponse:
    account, _post = _post_of_member(request, post_id)
    if request.method == "POST":
        posts.delete_post(post_id=post_id, account=account, now=timezone.now())
        return SeeOther(_address(post_id))
    return form_page(
        request,
        PageForm(),
        heading="Delete this post?",
        lead="Its text goes from view; replies to it stay.",
        verb="Delete it",
        danger=True,
        back=f"/p/{post_id}/",
    )


@require_POST
def vote(request: HttpRequest, post_id: int) -> HttpResponse:
    value = request.POST.get("value", "")
    if value not in {"-1", "0", "1"}:
        raise Invalid("A vote is -1, 0 or 1")
    post = votes.vote(post_id=post_id, user_id=member(request).id, value=int(value), now=timezone.now())
    if request.headers.get("Accept") == "application/json":
        return JsonResponse({"points": post["points"], "value": int(value)})
    return SeeOther(_address(post_id, order_of(request.POST.get("order", ""))))


def _post_of_member(request: HttpRequest, post_id: int) -> tuple[Account, PostToEdit]:
    account = member(request)
    post = post_to_edit(post_id)
    if post.author_id != account.id and not may_moderate(account, post.forum_owner_id):
        raise Forbidden("Only the author, the forum's owner and staff may do this")
    return account, post
