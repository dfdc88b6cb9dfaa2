"""How failed responses of Anthropic and Bedrock are classified."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
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
from llmrouter.providers.anthropic_messages import MessagesCodec

CODEC = MessagesCodec("anthropic")
INVALID = "invalid_request_error"


def error(kind: str | None, message: str = "no", **more: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_body"}


def classified(status: int, body: Any, headers: Mapping[str, str] | None = None) -> ProviderError:
    return CODEC.error(status, headers or {}, body)


@pytest.mark.parametrize(
    ("status", "kind", "cls"),
    [
        (400, INVALID, BadRequestError),
        (401, "authentication_error", AuthenticationError),
        (402, "billing_error", QuotaError),
        (403, "permission_error", PermissionDeniedError),
        (404, "not_found_error", ModelNotFoundError),
        (409, "conflict_error", BadRequestError),
        (413, "request_too_large", ContextLengthError),
        (429, "rate_limit_error", RateLimitError),
        (500, "api_error", ServerError),
        (503, "api_error", OverloadedError),
        (504, "timeout_error", ServerError),
        (529, "overloaded_error", OverloadedError),
        (400, "authentication_error", AuthenticationError),  # the type says more than the status
        (401, INVALID, AuthenticationError),  # the status says more than this type
        (404, INVALID, ModelNotFoundError),
        (418, "a type of tomorrow", BadRequestError),
        (599, "a type of tomorrow", ServerError),
        (429, None, RateLimitError),
        (302, None, MalformedResponseError),
    ],
)
def test_type_and_status_decide_the_class(status: int, kind: str | None, cls: type[ProviderError]) -> None:
    found = classified(status, error(kind))
    assert (type(found), found.status, found.code) == (cls, status, kind)


@pytest.mark.parametrize(
    ("message", "cls"),
    [
        ("Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.", QuotaError),
        ("You have reached your specified API usage limits. You will regain access on 2026-12-01.", QuotaError),
        ("You have reached your specified workspace API usage limits.", QuotaError),
        ("Output blocked by content filtering policy", ContentFilterError),
        ("This model does not support assistant message prefill.", BadRequestError),
        ("temperature: range: 0..1", BadRequestError),
    ],
)
def test_prose_decides_where_nothing_else_tells(message: str, cls: type[ProviderError]) -> None:
    assert type(classified(400, error(INVALID, message))) is cls


@pytest.mark.parametrize(
    ("message", "used", "limit"),
    [
        ("prompt is too long: 3333404 tokens > 200000 maximum", 3333404, 200000),
        ("input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease", 178959, 200000),
        ("prompt is too long", None, None),
        ("Input is too long for requested model.", None, None),
    ],
)
def test_a_prompt_that_is_too_long_says_by_how_much(message: str, used: int | None, limit: int | None) -> None:
    found = classified(400, error(INVALID, message))
    assert isinstance(found, ContextLengthError)
    assert (found.tokens_used, found.max_tokens) == (used, limit)


@pytest.mark.parametrize(
    ("headers", "cls"),
    [
        ({"x-should-retry": "false"}, QuotaError),
        ({"X-Should-Retry": "false"}, QuotaError),
        ({"x-should-retry": "true"}, RateLimitError),
        ({}, RateLimitError),
    ],
)
def test_a_429_that_will_not_pass_is_a_quota(headers: dict[str, str], cls: type[ProviderError]) -> None:
    assert type(classified(429, error("rate_limit_error"), headers)) is cls


@pytest.mark.parametrize("code", ["contract_spend_limit_reached", "enforced_spend_limit_reached"])
@pytest.mark.parametrize("status", [400, 403, 429])
def test_a_spent_limit_is_a_quota_whatever_its_status(status: int, code: str) -> None:
    found = classified(status, error("rate_limit_error", details={"error_code": code}))
    assert (type(found), found.code) == (QuotaError, code)


def test_the_wait_comes_from_the_header_of_a_failure_only() -> None:
    assert classified(429, error("rate_limit_error"), {"Retry-After": "47"}).retry_after == 47
    assert classified(200, error("overloaded_error"), {"retry-after": "47"}).retry_after is None


def test_the_request_id_comes_from_the_header_else_from_the_body() -> None:
    assert classified(400, error(INVALID), {"Request-Id": "req_header"}).request_id == "req_header"
    assert classified(400, error(INVALID)).request_id == "req_body"


@pytest.mark.parametrize(
    ("status", "exception", "message", "cls"),
    [
        (400, "ValidationException", "no", BadRequestError),
        (400, "ValidationException", "The provided model identifier is invalid.", ModelNotFoundError),
        (400, "ValidationException", "Input is too long for requested model.", ContextLengthError),
        (400, "ServiceQuotaExceededException", "no", QuotaError),
        (403, "AccessDeniedException", "no", PermissionDeniedError),
        (403, "UnrecognizedClientException", "The security token is invalid.", AuthenticationError),
        (404, "ResourceNotFoundException", "no", ModelNotFoundError),
        (408, "ModelTimeoutException", "no", ServerError),
        (424, "ModelErrorException", "no", ServerError),
        (429, "ThrottlingException", "Too many tokens", RateLimitError),
        (429, "ThrottlingException", "Too many tokens per day, please wait before trying again.", QuotaError),
        (429, "ModelNotReadyException", "no", OverloadedError),
        (503, "ServiceUnavailableException", "no", OverloadedError),
    ],
)
def test_bedrock_names_its_exception_in_a_header(
    status: int, exception: str, message: str, cls: type[ProviderError]
) -> None:
    headers = {"x-amzn-ErrorType": f"{exception}:http://internal.amazon.com/", "x-amzn-RequestId": "abc"}
    found = classified(status, {"message": message}, headers)
    assert (type(found), found.message, found.code, found.request_id) == (cls, message, exception, "abc")


def test_vertex_names_its_status_in_the_body() -> None:
    body = {"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED"}}
    found = classified(429, body)
    assert (type(found), found.message, found.code) == (RateLimitError, "Quota exceeded", "RESOURCE_EXHAUSTED")


def test_a_page_in_between_is_shown_by_its_beginning() -> None:
    found = classified(502, b"<html>\n<title>Bad gateway</title>" + b"x" * 500)
    assert isinstance(found, ServerError)
    assert found.message.startswith("<html> <title>Bad gateway</title>")
    assert len(found.message) <= 200


KEYS = st.sampled_from(["error", "type", "message", "details", "error_code", "request_id", "Message"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
)


@given(st.integers(200, 599), JSON, st.booleans())
def test_any_body_makes_a_provider_error_with_a_message(status: int, body: Any, as_bytes: bool) -> None:
    found = classified(status, json.dumps(body).encode() if as_bytes else body)
    assert isinstance(found, ProviderError)
    assert found.message
