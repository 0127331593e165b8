"""The page that is one form, shared by all views that show one."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def form_page(request: HttpRequest, form: object, *, width: str = "", **words: object) -> HttpResponse:
    """A page that is one form. 422 when it comes back with errors."""
    status = 422 if getattr(form, "errors", None) else 200
    return render(request, "web/page_form.html", {"form": form, "width": width, **words}, status=status)
