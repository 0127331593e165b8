"""Fixtures of the pages' tests. Imports wait: this file is read before Django is set up."""

from typing import Any

import pytest


@pytest.fixture
def browser() -> Any:
    """Nobody's browser."""
    from tests.integration.web.browser import Browser

    return Browser()


@pytest.fixture
def member() -> Any:
    """A user who can sign in with ``browser.PASSWORD``."""
    from tests import factories
    from tests.integration.web.browser import PASSWORD

    user = factories.make_user()
    user.set_password(PASSWORD)
    user.save()
    return user
