"""An operator with `/status/` open, never reloaded: plans, moves, what is asked of them, shards that come and go."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.benchmarks.moves import FILL_SQL
from tests.journeys import people
from tests.journeys.browsing import DESKTOP, PHONE, Reader
from tests.journeys.people import Person, client_of
from tests.journeys.test_shards_come_and_go import address_of, new_database, shards
from tests.running import Service, wait_for

pytestmark = pytest.mark.journey

ROWS = 60_000
# Shards are measured every ten seconds.
MEASURED_MS, MOVED_MS = 30_000, 60_000
EVIL = '"><img src=x onerror=alert(1)>'
OPERATOR = "operator"
COPYING = re.compile(r"copying, [1-9]")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Service]:
    with Service(shards=3, durable=False, settings={"SIGN_IN_ATTEMPTS_PER_MINUTE": "10000"}) as running:
        running.manage("ensure_staff", "--username", OPERATOR, STAFF_PASSWORD=people.PASSWORD)
        yield running


@pytest.fixture(scope="module")
def staff_of_fleet(fleet: Service) -> Person:
    return Person("staff", fleet.token("staff", staff=True))


@pytest.fixture
def client(fleet: Service, staff_of_fleet: Person) -> Iterator[httpx.Client]:
    with client_of(fleet, staff_of_fleet) as client:
        yield client


@pytest.fixture
def desk(browser: Browser, fleet: Service) -> Iterator[Reader]:
    """The operator's page, open and live; at the end it is the same page still, and nothing has gone wrong."""
    reader = opened(browser, fleet, DESKTOP)
    reader.is_live()
    reader.stays()
    yield reader
    reader.assert_stayed()
    assert reader.problems == []
    reader.close()


def opened(browser: Browser, fleet: Service, size: dict[str, int], **options: Any) -> Reader:
    reader = Reader(browser, fleet, size, **options)
    reader.sign_in(OPERATOR)
    reader.page.goto("/status/")
    return reader


def forums_on(client: httpx.Client, shard: str, *, count: int) -> list[Any]:
    """New forums, made until so many of them live there."""
    found: list[Any] = []
    while len(found) < count:
        forum = people.make_forum(client)
        if client.get(f"/forums/{forum['id']}").json()["shard"] == shard:
            found.append(forum)
    return found


def large_forums(fleet: Service, client: httpx.Client, *, shard: str, count: int) -> list[Any]:
    """New forums on one shard with many posts each."""
    found = forums_on(client, shard, count=count)
    for forum in found:
        thread = people.make_thread(client, forum["id"])
        with psycopg.connect(address_of(fleet, shard)) as connection:
            number = int(forum["id"])
            connection.execute("SELECT forum_enter(%s, 1)", (number,))
            connection.execute(FILL_SQL, {"forum": number, "thread": int(thread["id"]), "rows": ROWS})
            connection.execute(
                "UPDATE forum_counters SET posts_count = posts_count + %s WHERE forum_id = %s", (ROWS, number)
            )
    return found


def control(fleet: Service, query: str, *values: Any) -> Any:
    """One row of the control database."""
    with psycopg.connect(fleet.environment["DATABASE_URL"]) as connection:
        cursor = connection.execute(query, values)
        return cursor.fetchone() if cursor.description else None


def card_of(desk: Reader, slug: str) -> Locator:
    return desk.page.locator("[data-moves] > li").filter(has_text=slug)


def past_of(desk: Reader, slug: str) -> Locator:
    return desk.page.locator("[data-history] > tr").filter(has_text=slug)


def plan_with_moves(desk: Reader) -> Locator:
    """Make plans until the loads are measured and there is something to move."""

    def has_moves() -> bool:
        desk.page.click("#plan .head-row button")
        expect(desk.page.locator("#plan-title")).to_be_focused()
        return desk.page.locator("#plan tbody tr").count() > 0

    wait_for(has_moves, seconds=MEASURED_MS / 1000, what="a plan with moves")
    return desk.page.locator("#plan")


def test_a_plan_is_applied_and_watched(fleet: Service, client: httpx.Client, browser: Browser, desk: Reader) -> None:
    large_forums(fleet, client, shard="shard_00", count=3)
    rows = desk.page.locator('[data-shard="shard_00"] [data-load="rows_count"] [data-value]')
    expect(rows).to_have_text(re.compile(r"\d{2,3},\d{3}"), timeout=MEASURED_MS)
    plan = plan_with_moves(desk)
    expect(plan).to_contain_text("above the average")
    planned = plan.locator("tbody tr a").all_text_contents()
    plan.get_by_role("button", name="Apply").click()
    expect(plan).to_contain_text("applied")

    card = card_of(desk, planned[0])
    expect(card.locator("[data-phase]")).to_have_text(COPYING)
    seen = progress_until_over(card)
    assert len(seen) > 3
    assert seen == sorted(seen), "progress goes on, never back"
    expect(card.locator("[data-mark]")).to_have_text("moved")
    for slug in planned:
        expect(past_of(desk, slug)).to_contain_text("moved", timeout=MOVED_MS)
    expect(past_of(desk, planned[0]).locator("[data-window]")).to_have_text(re.compile(r"[\d.]+ ms"))
    expect(past_of(desk, planned[0]).get_by_role("button", name="Roll back")).to_be_visible()
    expect(desk.page.locator("[data-moves-counted]")).to_have_text(str(len(planned)))
    expect(desk.page.locator("[data-moves] > li")).to_have_count(0, timeout=MOVED_MS)
    says_the_same_without_scripts(fleet, browser, desk)


def progress_until_over(card: Locator) -> list[float]:
    """What the bar shows as often as it is looked at, until the move is over."""
    seen: list[float] = []

    def is_over() -> bool:
        seen.append(float(card.locator("progress").get_attribute("value") or 0))
        return card.locator("[data-mark]").text_content() == "moved"

    wait_for(is_over, seconds=MOVED_MS / 1000, what="the end of the first move")
    return sorted(set(seen), key=seen.index)


def says_the_same_without_scripts(fleet: Service, browser: Browser, desk: Reader) -> None:
    """What was pushed into the open page is what the server writes into a new one."""
    plain = opened(browser, fleet, DESKTOP, with_scripts=False)
    for part in ("[data-windows]", "[data-history]"):
        assert desk.page.locator(part).inner_text() == plain.page.locator(part).inner_text()
    plain.close()


def test_a_move_is_held_paused_and_let_go(fleet: Service, client: httpx.Client, browser: Browser, desk: Reader) -> None:
    (forum,) = large_forums(fleet, client, shard="shard_01", count=1)
    phone = opened(browser, fleet, PHONE)
    desk.page.fill("#id_forum", forum["slug"])
    desk.page.select_option("#id_target", "shard_02")
    desk.page.get_by_role("button", name="Move it").click()
    card = card_of(desk, forum["slug"])
    expect(card.locator("[data-phase]")).to_have_text(COPYING)
    pause = card.get_by_role("button", name="Pause")
    pause.focus()
    desk.page.keyboard.press("Enter")
    expect(card.locator("[data-mark]")).to_have_text("paused")
    expect(card.get_by_role("button", name="Resume")).to_be_focused()
    expect(card).to_contain_text("Waits here until it is resumed.")
    wait_for(lambda: is_left_alone(fleet, forum), seconds=20, what="the pause")
    phone.assert_fits()
    assert client.get(f"/forums/{forum['id']}").json()["shard"] == "shard_01"

    says_the_same_while_paused(fleet, browser, desk)
    card.get_by_role("button", name="Hold when ready").click()
    expect(card.locator('[data-step="ready"]')).to_have_attribute("aria-current", "step", timeout=MOVED_MS)
    expect(card.locator("[data-mark]")).to_have_text("paused")
    card.get_by_role("button", name="Resume").click()
    expect(past_of(desk, forum["slug"])).to_contain_text("moved", timeout=MOVED_MS)
    past_of(desk, forum["slug"]).get_by_role("button", name="Roll back").click()
    expect(past_of(desk, forum["slug"]).filter(has_text="rolled back")).to_be_visible(timeout=MOVED_MS)
    assert client.get(f"/forums/{forum['id']}").json()["shard"] == "shard_01"
    assert phone.problems == []
    phone.close()


def is_left_alone(fleet: Service, forum: Any) -> bool:
    """No mover has it on lease, and it has not come further than where it is to wait."""
    query = "SELECT leased_until IS NULL AND state = 'copying' AND pause_at = 'copying' FROM move WHERE forum_id = %s"
    return bool(control(fleet, query, int(forum["id"]))[0])


def says_the_same_while_paused(fleet: Service, browser: Browser, desk: Reader) -> None:
    plain = opened(browser, fleet, DESKTOP, with_scripts=False)

    def says_the_same_of_shards() -> bool:
        plain.page.reload()
        return inner_text(plain, "[data-shards]") == inner_text(desk, "[data-shards]")

    # Their figures come when they are counted: for a while after an earlier test they still change.
    wait_for(says_the_same_of_shards, seconds=30, what="the same figures on both pages", every_s=1.0)
    for part in (".move header", ".move .steps", ".move .attention", ".move form"):
        assert inner_text(plain, part) == inner_text(desk, part)
    plain.close()


def inner_text(reader: Reader, part: str) -> str:
    return reader.page.locator(part).inner_text()


def test_a_name_that_is_markup_stays_a_name(fleet: Service, client: httpx.Client, desk: Reader) -> None:
    forum = people.make_forum(client)
    control(fleet, "UPDATE forum_placement SET slug = %s WHERE forum_id = %s", EVIL, int(forum["id"]))
    here = client.get(f"/forums/{forum['id']}").json()["shard"]
    target = "shard_02" if here != "shard_02" else "shard_00"
    people.move(client, forum=forum["id"], target=target)
    expect(past_of(desk, EVIL)).to_contain_text("moved")
    assert desk.page.locator("main img").count() == 0


def test_a_refusal_is_said_beside_its_move(fleet: Service, client: httpx.Client, desk: Reader) -> None:
    forum = people.make_forum(client)
    here = client.get(f"/forums/{forum['id']}").json()["shard"]
    move = people.move(client, forum=forum["id"], target="shard_02" if here != "shard_02" else "shard_00")
    row = past_of(desk, forum["slug"])
    expect(row.get_by_role("button", name="Roll back")).to_be_visible()
    control(fleet, "UPDATE move SET reversible_until = now() - interval '1 hour' WHERE id = %s", int(move["id"]))
    row.get_by_role("button", name="Roll back").click()
    expect(row.get_by_role("alert")).to_contain_text("could be rolled back until")
    assert all("409" in problem for problem in desk.problems), desk.problems
    desk.problems.clear()


def another_shard(client: httpx.Client, forum: Any) -> str:
    here = client.get(f"/forums/{forum['id']}").json()["shard"]
    return "shard_02" if here != "shard_02" else "shard_00"


def test_the_last_one_to_arrive_stands_first(
    fleet: Service, client: httpx.Client, browser: Browser, desk: Reader
) -> None:
    """Also where it was asked for before the others."""
    held, quick = (people.make_forum(client) for _ in range(2))
    asked = {"forum": held["id"], "target": another_shard(client, held), "pause_at": "ready"}
    move = people.expect(client.post("/moves", json=asked), 202)
    people.move(client, forum=quick["id"], target=another_shard(client, quick))
    expect(past_of(desk, quick["slug"])).to_contain_text("moved")
    people.expect(client.post(f"/moves/{move['id']}/resume"), 200)
    expect(past_of(desk, held["slug"])).to_contain_text("moved")
    first_two = desk.page.locator("[data-history] > tr a").all_text_contents()[:2]
    assert first_two == [held["slug"], quick["slug"]]
    says_the_same_without_scripts(fleet, browser, desk)


def test_no_way_back_is_offered_to_a_shard_that_is_drained(fleet: Service, client: httpx.Client, desk: Reader) -> None:
    shards(fleet, "add", "shard_04", new_database(fleet, "shard_04"))
    (forum,) = forums_on(client, "shard_04", count=1)
    people.move(client, forum=forum["id"], target="shard_01")
    button = past_of(desk, forum["slug"]).get_by_role("button", name="Roll back")
    expect(button).to_be_visible()
    shards(fleet, "drain", "shard_04")
    expect(button).to_be_hidden()
    shards(fleet, "drain", "shard_04", "--undo")
    expect(button).to_be_visible()


def test_shards_come_go_and_die_on_an_open_page(fleet: Service, desk: Reader) -> None:
    card = desk.page.locator('[data-shard="shard_03"]')
    mark = card.locator("[data-state]")
    shards(fleet, "add", "shard_03", new_database(fleet, "shard_03"))
    expect(mark).to_have_text("active")
    expect(desk.page.locator("#id_target")).to_contain_text("shard_03")
    shards(fleet, "drain", "shard_03")
    expect(mark).to_have_text("draining")
    shards(fleet, "remove", "shard_03")
    expect(card).to_have_count(0)

    dying = desk.page.locator('[data-shard="shard_02"] [data-state]')
    fleet.servers.kill_server("shard_02")
    try:
        expect(dying).to_have_text("not answering", timeout=MEASURED_MS)
    finally:
        fleet.servers.start_server("shard_02")
    expect(dying).to_have_text("active", timeout=MOVED_MS)
