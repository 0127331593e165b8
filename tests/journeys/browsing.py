"""Somebody with a browser, in which nothing may go wrong unnoticed."""

import re
import shutil
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.journeys import people
from tests.running import Service

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
LIMIT_MS = 15_000
# The reader went on before a picture had come.
LEFT = "net::ERR_ABORTED"
EXPECTED_NOISE = re.compile(r"favicon")
expect.set_options(timeout=LIMIT_MS)


class Reader:
    """Somebody with a browser of their own, in which nothing may go wrong unnoticed."""

    def __init__(self, browser: Browser, service: Service, size: dict[str, int], *, with_scripts: bool = True) -> None:
        self._context: BrowserContext = browser.new_context(
            viewport=size,  # type: ignore[arg-type]
            base_url=service.url,
            java_script_enabled=with_scripts,
        )
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

    def sign_in(self, name: str) -> None:
        """As somebody who has an account already."""
        self.page.goto("/sign-in")
        self.page.fill("input[name=username]", name)
        self.page.fill("input[name=password]", people.PASSWORD)
        self.page.click("main form .actions button")
        expect(self.page.locator("header")).to_contain_text(name)

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
