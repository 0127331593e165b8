"""Wiring: which address goes to which doorway."""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [path("", include("forum_backend.web.urls"))]
