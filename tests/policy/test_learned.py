"""What is read from providers' rate-limit headers, and how long it makes a request wait."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from llmrouter.policy.learned import Allowance, Learned, Observed, from_headers

NOW = 1_800_000_000.0

OPENAI = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-limit-tokens": "30000",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-remaining-tokens": "0",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-reset-tokens": "1m0s",
}
ANTHROPIC = {
    "date": "Fri, 15 Jan 2027 08:00:00 GMT",
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:02Z",
    "anthropic-ratelimit-tokens-limit": "10000",
    "anthropic-ratelimit-tokens-remaining": "4000",
    "anthropic-ratelimit-tokens-reset": "2027-01-15T08:00:30Z",
}


def test_openai_says_what_is_left_and_when_all_is_back() -> None:
    found = from_headers(OPENAI, NOW)
    assert found == Observed(Allowance(499, 0.12, 500), Allowance(0, 60.0, 30000))


def test_anthropic_says_when_by_its_own_clock() -> None:
    assert from_headers(ANTHROPIC, 0.0) == Observed(Allowance(49, 2.0, 50), Allowance(4000, 30.0, 10000))


def test_azure_gives_plain_milliseconds_beside_its_period() -> None:
    headers = {
        "x-ratelimit-limit-requests": "120",
        "x-ratelimit-remaining-requests": "119",
        "x-ratelimit-renewalperiod-requests": "60",
        "x-ratelimit-reset-requests": "500",
    }
    assert from_headers(headers, NOW) == Observed(Allowance(119, 0.5, 120), None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6m0s", 360.0), ("1h2m3s", 3723.0), ("2m59.56s", 179.56), ("12ms", 0.012), ("1s500ms", 1.5), ("7", 7.0)],
)
def test_durations_are_read_in_every_form(text: str, seconds: float) -> None:
    found = from_headers({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": text}, NOW)
    assert found is not None
    assert found.requests is not None
    assert found.requests.reset_s == pytest.approx(seconds)


def test_other_headers_say_nothing() -> None:
    assert from_headers({"content-type": "application/json"}, NOW) is None


@given(
    st.dictionaries(
        st.sampled_from(sorted({*OPENAI, *ANTHROPIC, "x-ratelimit-renewalperiod-tokens"})),
        st.one_of(st.text(max_size=20), st.sampled_from(["1s", "9" * 30, "-1", "nan", "inf", "²", "1e400"])),
    )
)
def test_whatever_the_headers_hold_nothing_is_raised_and_no_wait_is_absurd(headers: dict[str, str]) -> None:
    learned = Learned()
    learned.observe("a/x", headers, NOW)
    assert 0.0 <= learned.wait_s("a/x", 1000, NOW) <= 120.0


def test_a_request_waits_until_the_provider_has_refilled_enough() -> None:
    learned = Learned()
    learned.observe("a/x", ANTHROPIC, NOW)
    assert learned.wait_s("a/x", 4000, NOW) == 0.0
    assert learned.wait_s("a/x", 7000, NOW) == pytest.approx(15.0)
    assert learned.wait_s("a/x", 7000, NOW + 10) == pytest.approx(5.0)
    assert learned.wait_s("a/x", 7000, NOW + 15) == 0.0


def test_requests_on_their_way_are_counted() -> None:
    learned = Learned()
    learned.observe("a/x", ANTHROPIC, NOW)
    learned.sent("a/x", 4000)
    assert learned.wait_s("a/x", 1000, NOW) > 0


def test_a_target_that_said_nothing_has_room() -> None:
    learned = Learned()
    learned.sent("a/x", 4000)
    assert learned.wait_s("a/x", 10**9, NOW) == 0.0


def test_a_reset_that_is_hours_away_is_no_reason_to_wait() -> None:
    learned = Learned()
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "12h0m0s"}
    learned.observe("a/x", headers, NOW)
    assert learned.wait_s("a/x", 0, NOW) == 0.0
