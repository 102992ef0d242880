"""/docs in a real browser: it loads from us alone, without an error, and one can log in and book there."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.e2e.api_client import PASSWORD, Box, Person

SECONDS = 20_000  #: ms; a busy machine draws slowly


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Root may run Chromium without its sandbox only; it opens nothing but our own pages here.
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, box: Box) -> Iterator[Page]:
    """A page that fails the test when anything on it does, or comes from elsewhere."""
    wrong: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(SECONDS)
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if _is_elsewhere(request.url, box) else None)
    yield page
    page.close()
    assert wrong == []


def _is_elsewhere(url: str, box: Box) -> bool:
    asked, ours = urlsplit(url), urlsplit(box.stack.api_url)
    return asked.scheme not in ("data", "blob") and asked.netloc != ours.netloc


def operation(page: Page, tag: str, name: str) -> Locator:
    """The operation on the page, opened."""
    found = page.locator(f"#operations-{tag}-{name}")
    if "is-open" not in (found.get_attribute("class") or ""):
        found.locator(".opblock-summary-control").click()
    return found


def execute(form: Locator, body: Any = None) -> dict[str, Any]:
    """Press Execute, after writing *body*, and read the answer from the page."""
    if body is not None:
        form.locator("textarea.body-param__text").fill(json.dumps(body))
    form.locator("button.execute").click()
    answer = form.locator(".live-responses-table .response").first
    expect(answer.locator(".response-col_status")).to_contain_text("20", timeout=SECONDS)
    return dict(json.loads(answer.locator(".highlight-code code").first.inner_text()))


@pytest.fixture
def buyer(box: Box) -> Person:
    return box.register("Ben Buyer")


def test_page_shows_every_operation(page: Page, box: Box) -> None:
    page.goto(f"{box.stack.api_url}/docs")
    expect(page.locator(".opblock").first).to_be_visible(timeout=SECONDS)
    document = box.http.get("/openapi.json").json()
    known = sum(1 for item in document["paths"].values() for method in item if method != "parameters")
    expect(page.locator(".opblock")).to_have_count(known, timeout=SECONDS)


def test_one_can_log_in_and_book_from_the_page(page: Page, box: Box, buyer: Person, tmp_path: Path) -> None:
    concert = box.on_sale(box.organiser())
    page.goto(f"{box.stack.api_url}/docs")
    execute(operation(page, "auth", "login"), {"email": buyer.user["email"], "password": PASSWORD})
    expect(page.locator("#who")).to_contain_text("Ben Buyer")
    order = {"concert_id": concert["id"], "items": [{"ticket_type": "standing", "quantity": 2}]}
    form = operation(page, "bookings", "book_tickets")
    booking = execute(form, order)
    assert booking["status"] == "confirmed"
    form.locator("button.btn-clear").click()
    assert execute(form, order)["id"] != booking["id"], "an untouched Idempotency-Key is a new one each time"
    assert {b["concert_id"] for b in buyer.get("/v1/bookings").json()["items"]} == {concert["id"]}
    page.screenshot(path=tmp_path / "booked.png")


def test_page_of_codes_is_reached_from_a_problem(page: Page, box: Box) -> None:
    problem = box.http.get("/v1/nothing").json()
    page.goto(f"{box.stack.api_url}{problem['type']}")
    expect(page.locator("section:target h3")).to_have_text("not_found")
