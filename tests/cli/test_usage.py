"""`llmrouter usage` and `llmrouter prices`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.conftest import FaultServers
from tests.ledger.rows import opened, row
from tests.servers.replies import json_reply

FILE = """
version: 1
ledger: { path: usage.db }
prices: { openai/gpt-4o: { input: 2.5, output: 10, cache_read: 1.25 } }
routes:
  s: { model: openai/gpt-4o, fallbacks: [openai/nobody-knows-it, google/gemini-2.5-pro] }
"""

Routes = Callable[[str], Path]


@pytest.fixture
def _used(routes: Routes, tmp_path: Path) -> None:
    routes(FILE)
    ledger = opened(tmp_path / "usage.db")
    ledger.add(row(call="a", route="s", cost_nano=3_000_000))
    ledger.add(row(call="b", route="t", cost_nano=1_000_000, time=1_790_100_000.0))
    ledger.close()


@pytest.mark.usefixtures("_used")
def test_usage_is_a_table(cli: Cli) -> None:
    result = cli("usage", "--by", "route")
    assert result.exit_code == 0
    header, first, second, total = result.stdout.splitlines()
    assert header.split()[:2] == ["route", "calls"]
    assert (first.split()[0], second.split()[0]) == ("s", "t")
    assert "$0.004" in total


@pytest.mark.usefixtures("_used")
def test_usage_is_json_or_csv(cli: Cli) -> None:
    told = json.loads(cli("usage", "--by", "route", "--json").stdout)
    assert told["total"]["cost_nano"] == 4_000_000
    lines = list(csv.DictReader(cli("usage", "--by", "route", "--csv").stdout.splitlines()))
    assert [line["route"] for line in lines] == ["s", "t"]
    assert cli("usage", "--json", "--csv").exit_code == 2


@pytest.mark.usefixtures("_used")
def test_usage_is_of_a_time_and_a_route(cli: Cli) -> None:
    assert json.loads(cli("usage", "--since", "2026-09-22T17:00", "--json").stdout)["total"]["calls"] == 1
    assert json.loads(cli("usage", "--until", "2026-09-22T17:00", "--json").stdout)["total"]["calls"] == 1
    assert json.loads(cli("usage", "--route", "s", "--json").stdout)["total"]["cost_nano"] == 3_000_000


@pytest.mark.usefixtures("_used")
def test_a_plot_has_bars_in_proportion(cli: Cli) -> None:
    pytest.importorskip("plotext", reason="the extra plot is not installed")
    out = cli("usage", "--by", "route", "--plot").stdout
    assert "cost by route" in out.splitlines()[0]
    dear, cheap = (line.count("█") for line in out.splitlines() if line.startswith(("s  $0.003", "t  $0.001")))
    assert dear > 30
    assert abs(cheap - dear / 3) <= 1


@pytest.mark.usefixtures("_used")
def test_a_plot_without_its_package_says_what_to_install(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotext", None)
    result = cli("usage", "--plot")
    assert result.exit_code == 2
    assert "llmrouter[plot]" in result.stderr


@pytest.mark.parametrize("number", [1, 2, 7, 24, 90])
def test_a_plot_has_a_bar_for_every_group_however_small_the_window(number: int) -> None:
    pytest.importorskip("plotext", reason="the extra plot is not installed")
    from llmrouter.cli.plot import Bar, drawn

    bars = [Bar(f"day {place:02}", (place * 37 + 11) % 101, "x") for place in range(number)]
    lines = drawn("calls by day", bars, "0", "x").splitlines()
    found = [line for line in lines if line.startswith("day ")]
    assert [line[:6] for line in found] == [bar.name for bar in bars]
    assert max(map(len, lines)) <= 120
    most, room = max(bar.size for bar in bars), len(found[0]) - len("day 00  x||")
    for line, bar in zip(found, bars, strict=True):
        assert abs(line.count("█") - room * bar.size / most) <= 1.5  # of some sixty


def test_usage_of_nothing_says_so(cli: Cli, routes: Routes) -> None:
    routes(FILE)
    result = cli("usage")
    assert result.exit_code == 0
    assert "nothing was recorded" in result.stderr


@pytest.mark.parametrize("wrong", [("--by", "modle"), ("--since", "yesterday")])
def test_a_wrong_question_is_a_usage_error(cli: Cli, routes: Routes, wrong: tuple[str, str]) -> None:
    routes(FILE)
    result = cli("usage", *wrong)
    assert result.exit_code == 2
    assert wrong[1] in result.stderr


def test_without_a_ledger_there_is_no_usage(cli: Cli, routes: Routes) -> None:
    routes(FILE.replace("{ path: usage.db }", "false"))
    result = cli("usage")
    assert result.exit_code == 2
    assert "ledger: false" in result.stderr


# ------------------------------------------------------------------------------------------------ prices


def test_prices_tell_where_they_are_from(cli: Cli, routes: Routes) -> None:
    routes(FILE)
    out = cli("prices").stdout
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert lines["openai/gpt-4o"] == ["openai/gpt-4o", "2.5", "10", "1.25", "2.5", "file"]
    assert lines["openai/nobody-knows-it"][1:6] == ["?", "?", "?", "?", "unknown;"]
    assert lines["google/gemini-2.5-pro"][5:] == ["genai-prices,", "dearer", "above", "200,000", "tokens"]
    assert "genai-prices" in out.splitlines()[-1]


def test_prices_as_json(cli: Cli, routes: Routes) -> None:
    routes(FILE)
    told = json.loads(cli("prices", "--json").stdout)
    assert told["table"].startswith("genai-prices ")
    assert told["prices"][1] == {
        "target": "openai/nobody-knows-it",
        "input": None,
        "output": None,
        "cache_read": None,
        "cache_write": None,
        "source": None,
    }


def newest(**usd: float) -> Any:
    """Return the table on the net, in which gpt-4o costs this."""
    model = {"id": "gpt-4o", "match": {"equals": "gpt-4o"}, "prices": usd}
    api = {"id": "openai", "name": "OpenAI", "api_pattern": r"https://api\.openai\.com", "pricing_urls": []}
    return json_reply([{**api, "models": [model]}])


def test_prices_update_prints_what_has_changed_and_changes_nothing(
    cli: Cli, routes: Routes, fault_server: FaultServers
) -> None:
    file = routes(FILE)
    server = fault_server(newest(input_mtok=2, output_mtok=8))
    result = cli("prices", "update", "--url", server.url)
    assert result.stdout == "prices:\n  openai/gpt-4o: { input: 2, output: 8, cache_read: 2, cache_write: 2 }\n"
    assert file.read_text() == FILE
    assert "2.5" in cli("prices").stdout


def test_prices_that_cannot_be_fetched_are_an_error(cli: Cli, routes: Routes, fault_server: FaultServers) -> None:
    routes(FILE)
    result = cli("prices", "update", "--url", fault_server(json_reply({"not": "a table"})).url)
    assert result.exit_code == 1
    assert "cannot be fetched" in result.stderr
