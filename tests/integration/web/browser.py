"""A browser without scripts: Django's client through the synchronous stack, with CSRF checked."""

import re
from typing import Any

from django.test import Client

from forum_backend.data.control.accounts.models import User

PASSWORD = "correct-horse-battery"


def hidden_fields(html: str) -> dict[str, str]:
    """The hidden fields of a page's forms (of the last of each name)."""
    return dict(re.findall(r'<input type="hidden" name="([^"]+)"(?: value="([^"]*)")?', html))


class Browser:
    """Loads pages and sends their forms as they are, hidden fields included."""

    def __init__(self) -> None:
        self.client = Client(enforce_csrf_checks=True, headers={"host": "localhost"})

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(path, **options)

    def html(self, path: str) -> str:
        """The text of a page that is there."""
        response = self.get(path, follow=True)
        assert response.status_code == 200, response.status_code
        return response.content.decode()

    def hidden(self, path: str) -> dict[str, str]:
        """The hidden fields of a page's forms (of the last of each name)."""
        return hidden_fields(self.html(path))

    def send(self, page: str, fields: dict[str, str], *, to: str | None = None) -> Any:
        """Fill in the form of a page and send it."""
        hidden = {name: value for name, value in self.hidden(page).items() if name != "parent"}
        return self.client.post(to or page, {**hidden, **fields})

    def sign_in(self, user: User) -> "Browser":
        self.client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return self
