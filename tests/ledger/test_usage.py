"""Reports: the parts make the total, whatever they are grouped by."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter import InvalidRequestError, LLMRouterError
from llmrouter.store.ledger_row import Row
from llmrouter.usage import UsageReport, grouping, moment, report, usage_of
from tests.chains import ask, chain, failing
from tests.conftest import FaultServers
from tests.ledger.rows import opened, row
from tests.servers.protocols import OPENAI, Answer
from tests.worlds import Face

GROUPS = ("hour", "day", "week", "month", "route", "target", "model", "provider", "outcome", "tag:team")
FRIDAY = datetime(2026, 11, 20, 14, 35, tzinfo=UTC).timestamp()


def by(group: str, *rows: Row) -> UsageReport:
    return report(rows, group, grouping(group))


CALLS = st.lists(
    st.builds(
        row,
        call=st.sampled_from("abcdef"),
        number=st.integers(0, 5),
        time=st.floats(1e9, 2e9),
        route=st.sampled_from(["r", "s"]),
        target=st.sampled_from(["openai/a", "openai/b", "anthropic/a/c"]),
        outcome=st.sampled_from(["ok", "failed", "cached", "abandoned", "cancelled", "open"]),
        cost_nano=st.none() | st.integers(0, 10**12),
        saved_nano=st.none() | st.integers(0, 10**12),
        prompt_cache_nano=st.none() | st.integers(-(10**9), 10**9),
        uncached_tokens=st.integers(0, 10**6),
        output_tokens=st.integers(0, 10**6),
        tags=st.sampled_from([None, "{}", '{"team": "a"}', '{"team": 7}', '{"team": null}']),
    ),
    max_size=30,
    unique_by=lambda each: (each.call, each.place),
).map(lambda rows: [each._replace(cached=each.outcome == "cached") for each in rows])


@given(CALLS, st.sampled_from(GROUPS))
def test_the_groups_add_up_to_the_rows_whatever_they_are_grouped_by(rows: list[Row], group: str) -> None:
    told = by(group, *rows)
    asked = [each for each in rows if not each.cached]
    assert told.total.calls == len({each.call for each in rows})
    assert told.total.attempts == len(asked)
    assert told.total.cache_hits == len(rows) - len(asked)
    assert told.total.cost_nano == sum(each.cost_nano or 0 for each in asked)
    assert told.total.unpriced == sum(each.cost_nano is None for each in asked)
    assert told.total.uncached_tokens == sum(each.uncached_tokens for each in asked)
    assert told.total.output_tokens == sum(each.output_tokens for each in asked)
    for name in (
        "calls",
        "attempts",
        "absorbed",
        "open_attempts",
        "failed_calls",
        "cost_nano",
        "prompt_cache_nano",
        "cache_saved_nano",
    ):
        assert sum(getattr(each, name) for each in told.rows) == getattr(told.total, name)


@pytest.mark.parametrize(
    ("group", "key"),
    [
        ("hour", "2026-11-20 14:00"),
        ("day", "2026-11-20"),
        ("week", "2026-W47"),
        ("month", "2026-11"),
        ("route", "r"),
        ("target", "openrouter/meta/llama"),
        ("model", "meta/llama"),
        ("provider", "openrouter"),
        ("outcome", "ok"),
        ("tag:team", "search"),
        ("tag:other", "-"),
    ],
)
def test_a_row_is_grouped_by(group: str, key: str) -> None:
    one = row(time=FRIDAY, target="openrouter/meta/llama", provider="openrouter", tags='{"team": "search"}')
    assert [each.key for each in by(group, one).rows] == [key]


def test_a_group_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="by='modle': expected one of hour, day"):
        grouping("modle")


def test_a_failed_attempt_is_absorbed_when_its_call_was_answered() -> None:
    rows = [
        row(call="a", number=0, outcome="failed", target="x/1"),
        row(call="a", number=1, outcome="ok", target="x/2"),
        row(call="b", number=0, outcome="failed", target="x/1"),
    ]
    first, second = by("target", *rows).rows
    assert (first.calls, first.attempts, first.failed_calls, first.absorbed) == (1, 2, 1, 1)
    assert (second.calls, second.attempts, second.failed_calls, second.absorbed) == (1, 1, 0, 0)


def test_a_call_whose_next_attempt_is_under_way_has_not_failed() -> None:
    rows = [row(number=0, outcome="ok"), row(number=1, outcome="failed"), row(number=0, outcome="open")]
    total = by("day", *rows, row(number=2, outcome="failed")).total
    assert (total.calls, total.failed_calls, total.attempts, total.open_attempts) == (1, 0, 4, 1)


def test_latency_is_of_answers_only() -> None:
    rows = [row(number=number, seconds=float(number + 1)) for number in range(20)]
    total = by("day", *rows, row(number=20, seconds=99.0, outcome="failed")).total
    assert (total.p50_s, total.p95_s) == (10.0, 19.0)
    assert by("day").total.p50_s is None


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (None, lambda _now: None),
        (12.5, lambda _now: 12.5),
        ("2026-11-20", lambda _now: datetime(2026, 11, 20, tzinfo=UTC).timestamp()),
        ("2026-11-20T14:35+02:00", lambda _now: FRIDAY - 7200),
        (date(2026, 11, 20), lambda _now: datetime(2026, 11, 20, tzinfo=UTC).timestamp()),
        (datetime(2026, 11, 20, 14, 35), lambda _now: FRIDAY),  # noqa: DTZ001 - without a zone, on purpose
        ("7d", lambda now: now - 7 * 86400),
        (timedelta(hours=1), lambda now: now - 3600),
    ],
)
def test_a_moment_may_be_said_in_many_ways(given_: Any, expected: Callable[[float], float | None]) -> None:
    assert moment(given_) == pytest.approx(expected(datetime.now(UTC).timestamp()), abs=5)


@pytest.mark.parametrize("given_", ["yesterday", "", "-3d", math.nan, math.inf, True])
def test_what_is_no_moment_is_refused(given_: Any) -> None:
    with pytest.raises(InvalidRequestError, match="moment"):
        moment(given_)


def test_a_report_is_json_csv_and_a_table() -> None:
    told = by("route", row(), row(call="c2", route="s", cost_nano=None))
    assert json.loads(told.to_json())["rows"][0]["cost_usd"] == 0.001234567
    assert json.loads(told.to_json())["total"]["cost_nano"] == 1_234_567
    first, second = csv.DictReader(told.to_csv().splitlines())
    assert (first["route"], first["cost_nano"], second["unpriced"]) == ("r", "1234567", "1")
    lines = str(told).splitlines()
    assert lines[0].split()[:3] == ["route", "calls", "failed"]
    assert lines[4].startswith("total")
    assert "1 attempt of unknown price" in lines[5]


def test_a_ledger_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "usage.db").write_bytes(b"no database at all" * 100)
    ledger = opened(tmp_path / "usage.db")
    with pytest.raises(LLMRouterError, match=r"the ledger cannot be read: .*corrupt"):
        usage_of(ledger)
    ledger.close()


# ------------------------------------------------------------------------------------------------ of a router


def test_a_router_tells_its_usage(face: Face, fault_server: FaultServers) -> None:
    failed, healthy = fault_server(OPENAI.fails("quota")), fault_server(OPENAI.reply(Answer(input_tokens=100)))
    with face.router(chain((OPENAI, failed), (OPENAI, healthy), cache="1h")) as router:
        replies = [ask(face, router, "chat") for _ in range(3)]
        told, second = router.usage(by="target"), router.usage(since="1h", by="provider", provider="second")
        total_cost, summary = router.total_cost, router.summary()
    assert [each.key for each in told.rows] == [f"first/{OPENAI.model}", f"second/{OPENAI.model}"]
    assert (told.total.calls, told.total.cache_hits, told.total.absorbed) == (3, 2, 3)
    assert told.total.cost_usd == total_cost == sum(reply.cost_usd for reply in replies)
    assert told.total.cache_saved_nano == 2 * told.total.cost_nano
    assert [each.key for each in second.rows] == ["second"]
    assert summary.splitlines()[0].startswith("3 calls | 100 tokens in | 7 out | $0.00017 | 2 from the cache saved")
    assert f"first/{OPENAI.model}: 3 requests, $0.00" in summary


def test_a_summary_is_of_this_router_and_not_of_the_past(face: Face, fault_server: FaultServers) -> None:
    config = chain((OPENAI, fault_server(OPENAI.fails("quota"))))
    with face.router(config) as router:
        failing(LLMRouterError, face, router, "chat")
        assert "1 failed" in router.summary()
    with face.router(config) as router:
        assert router.summary() == "no calls"
        assert router.usage().total.calls == 1
