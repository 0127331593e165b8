"""Two people in two browsers: one reads a thread, the other writes into it, and it appears without a reload."""

import pytest
from playwright.sync_api import Browser

from tests.journeys import people
from tests.journeys.browsing import DESKTOP, PHONE, Reader
from tests.running import Service

pytestmark = pytest.mark.journey


def test_a_post_appears_in_an_open_browser(service: Service, browser: Browser) -> None:
    owner = people.make_person(service)
    with people.client_of(service, owner) as client:
        slug = people.make_forum(client)["slug"]
    writer, phone = Reader(browser, service, DESKTOP), Reader(browser, service, PHONE)
    writer.sign_up()
    address = writer.open_thread(slug, title="Who is awake?", body="I **am**.")
    writer.sees("I am.")
    phone.sign_up()
    phone.page.goto(address)
    phone.sees("I am.")
    phone.assert_fits()
    phone.is_live()
    phone.stays()
    writer.reply("And you, with the telephone? <b>not bold</b>")
    phone.sees("And you, with the telephone? <b>not bold</b>")
    phone.assert_stayed()
    writer.is_live()
    writer.stays()
    phone.reply("Me too")
    writer.sees("Me too")
    writer.assert_stayed()

    for path in ("/", f"/f/{slug}/", f"/u/{writer.name}/", "/me", "/new-forum"):
        phone.page.goto(path)
        phone.assert_fits()
    assert writer.problems + phone.problems == []
    writer.close()
    phone.close()
