"""Google's failures: which class, and how long to wait."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.errors import (
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    MalformedResponseError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ServerError,
)
from llmrouter.providers.google_failures import google_error

RPC = "type.googleapis.com/google.rpc."


def error(
    status: int, code: str | None = None, message: str = "no", *details: dict[str, Any], **headers: str
) -> ProviderError:
    report = {"code": status, "message": message, "status": code, "details": list(details)}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return google_error(status, named, json.dumps({"error": report}))


def reason(word: str) -> dict[str, Any]:
    return {"@type": f"{RPC}ErrorInfo", "reason": word, "domain": "googleapis.com"}


def quota(*ids: str, value: str = "100") -> dict[str, Any]:
    return {"@type": f"{RPC}QuotaFailure", "violations": [{"quotaId": each, "quotaValue": value} for each in ids]}


def retry(delay: Any) -> dict[str, Any]:
    return {"@type": f"{RPC}RetryInfo", "retryDelay": delay}


@pytest.mark.parametrize(
    ("status", "code", "cls"),
    [
        (400, "INVALID_ARGUMENT", BadRequestError),
        (400, "FAILED_PRECONDITION", PermissionDeniedError),
        (401, "UNAUTHENTICATED", AuthenticationError),
        (403, "PERMISSION_DENIED", PermissionDeniedError),
        (404, "NOT_FOUND", ModelNotFoundError),
        (409, "ABORTED", ServerError),
        (429, "RESOURCE_EXHAUSTED", RateLimitError),
        (499, "CANCELLED", ServerError),
        (500, "INTERNAL", ServerError),
        (503, "UNAVAILABLE", OverloadedError),
        (504, "DEADLINE_EXCEEDED", ServerError),
        (418, "NEVER_HEARD_OF", BadRequestError),
        (502, None, ServerError),
        (302, None, MalformedResponseError),
    ],
)
def test_the_canonical_code_decides_and_else_the_status(
    status: int, code: str | None, cls: type[ProviderError]
) -> None:
    found = error(status, code)
    assert type(found) is cls
    assert (found.status, found.code, found.message) == (status, code, "no")


@pytest.mark.parametrize(("word", "cls"), [("API_KEY_INVALID", AuthenticationError), ("BILLING_DISABLED", QuotaError)])
def test_a_typed_reason_says_more_than_the_code(word: str, cls: type) -> None:
    assert type(error(400, "INVALID_ARGUMENT", "no", reason(word))) is cls


@pytest.mark.parametrize(
    ("details", "cls"),
    [
        ((quota("RequestsPerMinutePerProject"), retry("9s")), RateLimitError),
        ((quota("RequestsPerDayPerProject-FreeTier"),), QuotaError),
        ((quota("RequestsPerMinute", "RequestsPerDay"), retry("14s")), QuotaError),
        ((quota("RequestsPerMinute-FreeTier", value="0"), retry("20s")), QuotaError),
        ((), RateLimitError),
    ],
)
def test_a_days_quota_and_a_quota_of_nothing_do_not_pass(details: tuple[Any, ...], cls: type) -> None:
    assert type(error(429, "RESOURCE_EXHAUSTED", "quota exceeded", *details)) is cls


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("48s", 48.0), ("0.5s", 0.5), ("20.04466179s", 20.04466179), ({"seconds": "3", "nanos": 500000000}, 3.5)],
)
def test_the_delay_is_read_from_retry_info(delay: Any, seconds: float) -> None:
    assert error(429, "RESOURCE_EXHAUSTED", "no", retry(delay)).retry_after == seconds


@pytest.mark.parametrize("delay", [None, "soon", "-3s", "1e9s", "٣s", [], {"seconds": "x"}, {"nanos": -1}])
def test_a_delay_that_is_none_falls_back_to_the_header(delay: Any) -> None:
    assert error(429, "RESOURCE_EXHAUSTED", "no", retry(delay), retry_after="7").retry_after == 7.0


def test_a_prompt_that_is_too_long_tells_both_counts() -> None:
    message = "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."
    found = error(400, "INVALID_ARGUMENT", message)
    assert isinstance(found, ContextLengthError)
    assert (found.tokens_used, found.max_tokens) == (1048577, 1048576)


def test_a_prompt_that_is_too_long_may_tell_the_limit_alone() -> None:
    found = error(
        400, "INVALID_ARGUMENT", "The input token count exceeds the maximum number of tokens allowed 1048576."
    )
    assert isinstance(found, ContextLengthError)
    assert (found.tokens_used, found.max_tokens) == (None, 1048576)


def test_an_error_wrapped_in_an_array_is_unwrapped() -> None:
    assert (
        type(google_error(503, {}, json.dumps([{"error": {"code": 503, "status": "UNAVAILABLE"}}]))) is OverloadedError
    )


def test_a_body_that_is_no_json_is_quoted() -> None:
    assert google_error(502, {}, b"<html>Bad Gateway</html>").message == "<html>Bad Gateway</html>"


@given(st.integers(100, 599) | st.none(), st.binary(max_size=60))
def test_any_body_gives_an_error(status: int | None, body: bytes) -> None:
    assert isinstance(google_error(status, {}, body), ProviderError)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "details", "@type", "violations", "code", "status", "message", "retryDelay"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.integers(400, 599), _json)
def test_any_json_gives_an_error(status: int, body: Any) -> None:
    assert isinstance(google_error(status, {}, body), ProviderError)
