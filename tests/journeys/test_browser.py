"""Two people in two browsers: one reads a thread, the other writes into it, and it appears without a reload."""

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.journeys import people
from tests.running import Service

pytestmark = pytest.mark.journey

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
LIMIT_MS = 15_000
# The reader went on before a picture had come.
LEFT = "net::ERR_ABORTED"
EXPECTED_NOISE = re.compile(r"favicon")


@pytest.fixture
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs a Chromium")
        pytest.skip("there is no Chromium on this machine")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield running
        running.close()


class Reader:
    """Somebody with a browser of their own, in which nothing may go wrong unnoticed."""

    def __init__(self, browser: Browser, service: Service, size: dict[str, int]) -> None:
        self._context: BrowserContext = browser.new_context(viewport=size, base_url=service.url)  # type: ignore[arg-type]
        self._context.set_default_timeout(LIMIT_MS)
        self.page: Page = self._context.new_page()
        self.problems: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("requestfailed", self._failed)
        self.name = people.unique("reader")

    def _failed(self, request: Any) -> None:
        if request.failure != LEFT:
            self.problems.append(f"{request.url} {request.failure}")

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning") and not EXPECTED_NOISE.search(message.text):
            self.problems.append(message.text)

    def sign_up(self) -> None:
        self.page.goto("/sign-up")
        self.page.fill("input[name=username]", self.name)
        self.page.fill("input[name=password]", people.PASSWORD)
        self.page.click("main form .actions button")
        expect(self.page.locator("header")).to_contain_text(self.name)

    def open_thread(self, slug: str, *, title: str, body: str) -> str:
        """A new thread; its address."""
        self.page.goto(f"/f/{slug}/new")
        self.page.fill("input[name=title]", title)
        self.page.fill("textarea[name=body]", body)
        self.page.click("main form .actions button")
        expect(self.page.locator("h1")).to_have_text(title)
        return self.page.url

    def reply(self, body: str) -> None:
        self.page.fill("#answer textarea[name=body]", body)
        self.page.click("#answer .actions button")

    def sees(self, text: str) -> None:
        expect(self.page.locator(".posts")).to_contain_text(text, timeout=LIMIT_MS)

    def is_live(self) -> None:
        expect(self.page.locator("[data-live]")).to_have_attribute("data-state", "live", timeout=LIMIT_MS)

    def stays(self) -> None:
        """Leave a mark that a reload would wipe out."""
        self.page.evaluate("window.hasStayed = true")

    def assert_stayed(self) -> None:
        assert self.page.evaluate("window.hasStayed === true"), "the page was loaded anew"

    def assert_fits(self) -> None:
        """Nothing is wider than the screen."""
        wide, seen = self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= seen

    def close(self) -> None:
        self._context.close()


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
