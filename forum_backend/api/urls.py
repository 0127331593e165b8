"""The addresses of the API lane. All views are coroutines: the slim handler gives them no thread."""

from django.urls import path

from forum_backend.api import machines
from forum_backend.api.interface import api, docs, openapi

urlpatterns = [
    path("api/v1/openapi.json", openapi),
    path("api/v1/docs", docs),
    path("api/v1/", api.urls),
    path("healthz", machines.healthz),
    path("readyz", machines.readyz),
    path("metrics", machines.metrics),
]
