"""The addresses of the pages."""

from django.urls import path, register_converter

from forum_backend.web.converters import RoutedId
from forum_backend.web.views import accounts, forums, front, posts, profiles, status, status_plans, threads

register_converter(RoutedId, "routed")

urlpatterns = [
    path("", front.show),
    path("new-forum", forums.create),
    path("f/<slug:slug>/", forums.show),
    path("f/<slug:slug>/new", threads.create),
    path("f/<slug:slug>/edit", forums.edit),
    path("t/<routed:thread_id>/", threads.show),
    path("t/<routed:thread_id>/reply", posts.reply),
    path("t/<routed:thread_id>/manage", threads.manage),
    path("t/<routed:thread_id>/delete", threads.delete),
    path("t/<routed:thread_id>/<str:slug>", threads.show),
    path("p/<routed:post_id>/", posts.show),
    path("p/<routed:post_id>/edit", posts.edit),
    path("p/<routed:post_id>/delete", posts.delete),
    path("p/<routed:post_id>/vote", posts.vote),
    path("u/<str:username>/", profiles.show),
    path("me", profiles.edit),
    path("sign-up", accounts.sign_up),
    path("sign-in", accounts.sign_in),
    path("sign-out", accounts.sign_out),
    path("status/", status.show),
    path("status/move", status.move),
    path("status/moves/<int:move_id>", status.ask),
    path("status/plan", status_plans.make),
    path("status/plan/<str:digest>/apply", status_plans.apply),
]
