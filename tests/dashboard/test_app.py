"""The server of the page: what it tells, and whom."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra `dashboard` is not installed")
pytest.importorskip("uvicorn", reason="the extra `dashboard` is not installed")

from llmrouter.dashboard.app import COOKIE, is_loopback
from llmrouter.dashboard.figures import last_calls
from tests.dashboard.serving import SECRET, Page, config, filled, served
from tests.ledger.rows import row

TOKEN = "open-sesame"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    filled(tmp_path)
    with served(config(tmp_path)) as found:
        yield found


def data(page: Page, query: str = "") -> Any:
    status, text, _ = page.get(f"/data.json{query}")
    assert status == 200, text
    return json.loads(text)


@pytest.mark.parametrize("by", ["route", "model"])
@pytest.mark.parametrize("chosen", ["7d", "all"])
def test_the_figures_are_those_of_the_report(page: Page, chosen: str, by: str) -> None:
    found = data(page, f"?range={chosen}&by={by}")
    told = page.router.usage(None if chosen == "all" else "8d", by=by)
    for name, value in told.total.as_dict().items():
        assert found["total"][name] == value, name
    assert {each["key"]: each["cost_nano"] for each in found["groups"]} == {
        each.key: each.cost_nano for each in told.rows
    }
    assert found["total"]["hit_rate"] == told.total.cache_hits / told.total.calls
    assert found["total"]["error_rate"] == told.total.failed_calls / told.total.calls


@pytest.mark.parametrize("step", ["hour", "day", "week"])
def test_the_bars_add_up_to_the_total(page: Page, step: str) -> None:
    found = data(page, f"?range=7d&step={step}")
    time, total = found["time"], found["total"]
    assert sum(sum(each["nano"]) for each in time["series"]) == total["cost_nano"]
    assert (sum(time["calls"]), sum(time["failed"])) == (total["calls"], total["failed_calls"])
    assert {len(each["nano"]) for each in time["series"]} == {len(time["starts"])} == {len(time["p95_s"])}
    assert time["starts"] == sorted(set(time["starts"]))


def test_the_bars_of_days_are_those_of_the_report(page: Page) -> None:
    time = data(page, "?range=all&step=day")["time"]
    told = page.router.usage(by="day")
    costs = [sum(each["nano"][place] for each in time["series"]) for place in range(len(time["starts"]))]
    assert [cost for cost in costs if cost] == [each.cost_nano for each in told.rows if each.cost_nano]


def test_the_last_calls_come_with_their_attempts(page: Page) -> None:
    calls = data(page)["calls"]
    assert [call["id"] for call in calls] == ["b", "a", "c", "d", "e"]
    fallen = calls[0]
    assert (fallen["target"], fallen["outcome"], fallen["cost_usd"]) == ("anthropic/claude-haiku-5-5", "ok", 0.5)
    assert [(each["outcome"], each["error"]) for each in fallen["attempts"]] == [
        ("failed", "OverloadedError"),
        ("ok", None),
    ]
    assert calls[4]["cost_usd"] is None


def test_a_call_whose_next_attempt_is_under_way_is_open() -> None:
    failed = [row(number=number, outcome="failed") for number in range(2)]
    (call,) = last_calls([row(number=0, outcome="open", target="openai/gpt-6-sol"), *failed])
    assert (call["outcome"], call["target"]) == ("open", "openai/gpt-6-sol")
    assert [each["outcome"] for each in call["attempts"]] == ["failed", "failed", "open"]


def test_limits_and_breakers_are_told(page: Page) -> None:
    found = data(page)
    (limit,) = found["spending"]
    assert (limit["scope"], limit["per"], limit["limit_usd"], limit["spent_usd"]) == ("route:summarize", "day", 5.0, 0)
    assert [(each["kind"], each["used"], each["most"]) for each in found["limits"]] == [("requests_per_minute", 0, 60)]
    assert {each["target"]: each["phase"] for each in found["breakers"]} == {
        "openai/gpt-6-luna": "closed",
        "anthropic/claude-haiku-5-5": "closed",
    }


def test_nothing_of_a_call_but_its_facts_is_told(page: Page) -> None:
    assert SECRET not in page.get("/data.json?range=all")[1]


def test_many_groups_are_a_few_colours(tmp_path: Path) -> None:
    from tests.ledger.rows import opened, row

    ledger = opened(tmp_path / "usage.db")
    for number in range(12):
        ledger.add(row(call=f"c{number}", route=f"r{number}", cost_nano=number + 1))
    ledger.close()
    with served(config(tmp_path)) as page:
        series = data(page, "?range=all")["time"]["series"]
    assert [each["name"] for each in series] == [f"r{number}" for number in range(11, 4, -1)] + ["others"]
    assert sum(series[-1]["nano"]) == 1 + 2 + 3 + 4 + 5


def test_an_empty_ledger_is_no_error(tmp_path: Path) -> None:
    with served(config(tmp_path)) as page:
        found = data(page)
    assert (found["total"]["calls"], found["total"]["hit_rate"], found["calls"]) == (0, None, [])
    assert not (tmp_path / "usage.db").exists()


@pytest.mark.parametrize("query", ["?range=8y", "?step=second", "?by=prompt"])
def test_a_choice_that_there_is_not_is_refused_with_those_there_are(page: Page, query: str) -> None:
    status, text, _ = page.get(f"/data.json{query}")
    assert status == 400
    assert "expected one of" in json.loads(text)["error"]


def test_a_ledger_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "usage.db").write_text("this is no database, and long enough for SQLite to look at it" * 20)
    with served(config(tmp_path)) as page:
        status, text, _ = page.get("/data.json")
    assert status == 503
    assert "the ledger cannot be read" in json.loads(text)["error"]


# ------------------------------------------------------------------------------------------------ who may see it


def test_the_page_asks_nobody_else_for_anything(page: Page) -> None:
    status, text, headers = page.get()
    assert status == 200
    assert not re.findall(r"""(?:src|href|@import|url\()\s*=?\s*["']?(?:https?:)?//""", text)
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["cache-control"] == "no-store"


def test_no_other_site_may_read_it(page: Page) -> None:
    headers = page.get("/data.json", Origin="https://elsewhere.example")[2]
    assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "10.0.0.1", "", "[::1"])
def test_a_name_that_is_not_ours_is_refused(page: Page, host: str) -> None:
    for path in ("/", "/data.json"):
        assert page.get(path, Host=host)[0] in (400, 421)


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_the_names_of_this_machine_are_ours(page: Page, host: str) -> None:
    assert page.get("/data.json", Host=host)[0] == 200


def test_who_listens_everywhere_goes_by_addresses_and_no_other_name(tmp_path: Path) -> None:
    with served(config(tmp_path), host="0.0.0.0", token=TOKEN) as page:
        given = {"Authorization": f"Bearer {TOKEN}"}
        assert page.get("/data.json", Host="192.168.1.7:8642", **given)[0] == 200
        assert page.get("/data.json", Host="evil.example", **given)[0] == 421


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer "},
        {"Cookie": f"{COOKIE}={TOKEN}"},
        {"Cookie": f"{COOKIE}="},
    ],
)
@pytest.mark.parametrize("path", ["/", "/data.json", "/?token=", "/?token=wrong", "/none"])
def test_without_the_token_nothing_is_shown(tmp_path: Path, path: str, given: dict[str, str]) -> None:
    with served(config(tmp_path), token=TOKEN) as page:
        status, text, headers = page.get(path, **given)
    assert status == 401
    assert TOKEN not in text
    assert "set-cookie" not in headers


def test_a_link_with_the_token_leaves_a_cookie_that_is_not_the_token(tmp_path: Path) -> None:
    with served(config(tmp_path), token=TOKEN) as page:
        status, _, headers = page.get(f"/?token={TOKEN}")
        assert (status, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"]
        assert TOKEN not in cookie
        assert "HttpOnly; SameSite=Strict" in cookie
        assert page.get("/data.json", Cookie=cookie.partition(";")[0])[0] == 200
        assert page.get("/data.json", Authorization=f"Bearer {TOKEN}")[0] == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("box.lan", False)],
)
def test_loopback_is_told_from_what_others_reach(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
