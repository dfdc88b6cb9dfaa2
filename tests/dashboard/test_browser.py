"""The page in a real Chromium: what a reader sees is what the ledger holds."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.dashboard.serving import SECRET, Page, config, filled, served
from tests.ledger.rows import opened, row

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page as Tab

pytestmark = pytest.mark.integration

REQUIRED: Final = os.environ.get("LLMROUTER_REQUIRE_CHROMIUM") == "1"
FLAGS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESKTOP: Final = {"width": 1280, "height": 900}
PHONE: Final = {"width": 390, "height": 844}


def lacks(what: str) -> None:
    """Skip with the reason, or fail where the browser is required."""
    (pytest.fail if REQUIRED else pytest.skip)(f"{what} is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium once."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        lacks("chromium")
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        lacks(str(error.name))
    with sync_playwright() as playwright:
        opened_browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield opened_browser
        opened_browser.close()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    filled(tmp_path)
    with served(config(tmp_path)) as found:
        yield found


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """Open a tab; what the page complains of, and whom else it asks, fails the test."""
    yield from _tab(browser, viewport=DESKTOP, color_scheme="light")


@pytest.fixture
def phone(browser: Browser) -> Iterator[Tab]:
    yield from _tab(browser, viewport=PHONE, color_scheme="dark", device_scale_factor=2, is_mobile=True)


def _tab(browser: Browser, **options: Any) -> Iterator[Tab]:
    context = browser.new_context(**options)
    found = context.new_page()
    complaints: list[str] = []
    found.on("console", lambda message: complaints.append(message.text))
    found.on("pageerror", lambda error: complaints.append(str(error)))
    asked: list[str] = []
    found.on("request", lambda request: asked.append(request.url))
    yield found
    context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:"))] == []


def shown(tab: Tab, page: Page) -> None:
    """Open the page and wait for its numbers."""
    tab.goto(page.url)
    tab.wait_for_selector("#state:has-text('updated')")


def choose(tab: Tab, name: str, value: str) -> None:
    with tab.expect_response(re.compile(rf"{name}={value}")):
        tab.check(f"input[name={name}][value='{value}']")
    tab.wait_for_timeout(50)


def tile(tab: Tab, name: str) -> str:
    return tab.inner_text(f"#tile-{name} b")


@pytest.mark.parametrize("chosen", ["7d", "all"])
def test_the_tiles_show_the_ledgers_numbers(tab: Tab, page: Page, chosen: str) -> None:
    shown(tab, page)
    if chosen != "7d":
        choose(tab, "range", chosen)
    total = page.router.usage(None if chosen == "all" else "8d").total
    assert tile(tab, "spend") == f"${total.cost_usd:,.2f}"
    assert tile(tab, "calls") == f"{total.calls}"
    assert tile(tab, "cache-hits") == f"{100 * total.cache_hits / total.calls:.1f} %"
    assert tile(tab, "errors") == f"{100 * total.failed_calls / total.calls:.1f} %"
    assert tile(tab, "latency") == f"{total.p50_s:.2f} s"
    assert tab.inner_text("#tile-latency small") == f"p95 {total.p95_s:.2f} s"
    assert tab.inner_text("#tile-spend small") == f"and {total.unpriced} unpriced"


@pytest.mark.parametrize("by", ["route", "model"])
def test_the_table_and_the_legend_show_each_group(tab: Tab, page: Page, by: str) -> None:
    shown(tab, page)
    if by != "route":
        choose(tab, "by", by)
    told = page.router.usage("8d", by=by)
    lines = [text.split("\t")[:3] for text in tab.locator("#groups tbody tr").all_inner_texts()]

    def money(nano: int) -> str:
        return f"${nano / 1e9:,.{2 if nano >= 10**9 else 4}f}" if nano else "$0"

    expected = {
        each.key: [each.key, money(each.cost_nano) + (" + ?" if each.unpriced else ""), f"{each.calls}"]
        for each in (*told.rows, told.total)
    }
    assert {line[0]: line for line in lines} == expected
    assert sorted(tab.locator("#spend-legend li").all_inner_texts()) == sorted(
        f"{each.key} {money(each.cost_nano)}" for each in told.rows
    )


@pytest.mark.parametrize("step", ["hour", "week"])
def test_bars_may_be_hours_or_weeks(tab: Tab, page: Page, step: str) -> None:
    shown(tab, page)
    choose(tab, "step", step)
    assert tab.locator("#spend canvas").count() == 1
    tab.hover("#spend .u-over", position={"x": 400, "y": 100})
    assert tab.is_visible("#spend .tip")


def test_a_call_shows_its_attempts_when_it_is_opened_and_stays_open(tab: Tab, page: Page) -> None:
    shown(tab, page)
    first = tab.locator("#last details").first
    first.locator("summary").click()
    assert first.locator(".attempt .pill").all_inner_texts() == ["failed", "ok"]
    assert first.locator(".attempt .target").first.inner_text() == "openai/gpt-6-luna: OverloadedError"
    with tab.expect_response(re.compile("data.json")):  # the page brings itself up to date
        pass
    tab.wait_for_timeout(100)
    assert tab.locator("#last details").first.locator(".attempt").count() == 2
    assert tab.locator("#last details").first.get_attribute("open") is not None


def test_a_new_call_shows_up_by_itself(tab: Tab, page: Page, tmp_path: Path) -> None:
    import time

    shown(tab, page)
    assert tile(tab, "calls") == "5"
    ledger = opened(tmp_path / "usage.db")
    ledger.add(row(call="new", time=time.time(), cost_nano=10**9))
    ledger.close()
    tab.wait_for_selector("#tile-calls b:text-is('6')", timeout=10_000)


def test_limits_and_targets_are_shown(tab: Tab, page: Page) -> None:
    shown(tab, page)
    limits = tab.inner_text("#spending")
    assert "route summarize" in limits
    assert "$0 of $5.00 a day" in limits
    assert tab.locator("#breakers .line").all_inner_texts() == [
        "openai/gpt-6-luna\nclosed",
        "anthropic/claude-haiku-5-5\nclosed",
    ]
    assert "0 of 60" in tab.inner_text("#limits")


def test_no_text_of_a_call_is_on_the_page(tab: Tab, page: Page) -> None:
    shown(tab, page)
    choose(tab, "range", "all")
    assert SECRET not in tab.content()


def test_an_empty_ledger_says_what_to_do(tab: Tab, tmp_path: Path) -> None:
    with served(config(tmp_path)) as page:
        shown(tab, page)
        assert tab.is_visible("#empty")
        assert "llmrouter chat ROUTE" in tab.inner_text("#empty")
        assert not tab.is_visible("#spend")


def test_names_are_text_and_never_markup(tab: Tab, tmp_path: Path) -> None:
    import time

    ledger = opened(tmp_path / "usage.db")
    ledger.add(row(call="x", time=time.time(), route="<img src=x onerror=alert(1)>", target="openai/<b>bold</b>"))
    ledger.close()
    with served(config(tmp_path)) as page:
        shown(tab, page)
        assert "<img src=x onerror=alert(1)>" in tab.inner_text("#groups")
        assert tab.locator("main img, main summary b").count() == 0


def test_a_phone_shows_all_of_it_without_scrolling_sideways(phone: Tab, page: Page) -> None:
    shown(phone, page)
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    background = phone.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(int(part) for part in re.findall(r"\d+", background)) < 3 * 60  # it is dark where the reader wants it
    assert phone.is_visible("#tile-spend")
    assert phone.is_visible("#last details")


def test_a_link_with_the_token_opens_the_page_and_leaves_the_address_bar(tab: Tab, tmp_path: Path) -> None:
    filled(tmp_path)
    with served(config(tmp_path), token="open-sesame") as page:
        tab.goto(f"{page.url}?token=open-sesame")
        tab.wait_for_selector("#state:has-text('updated')")
        assert tab.url == page.url
        assert tile(tab, "calls") == "5"


def test_a_server_that_is_gone_is_told(browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context()
    try:
        with served(config(tmp_path)) as page:
            tab = context.new_page()
            shown(tab, page)
        tab.wait_for_selector("#state.lost", timeout=10_000)
        assert "does not answer" in tab.inner_text("#state")
    finally:
        context.close()
