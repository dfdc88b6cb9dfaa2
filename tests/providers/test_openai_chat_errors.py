"""Chat Completions: what a failed answer of every kind of server means."""

from __future__ import annotations

import json
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
    OutputInvalidError,
    OverloadedError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ServerError,
)
from tests.providers.openai_chat import (
    OTHER,
    WIRE,
)


def failed(status: int, body: Any, headers: dict[str, str] | None = None) -> ProviderError:
    return OTHER.error(status, headers or {}, json.dumps(body).encode() if not isinstance(body, bytes) else body)


@pytest.mark.parametrize(
    ("status", "body", "cls", "code"),
    [
        (400, {"error": {"code": "invalid_api_key", "message": "x"}}, AuthenticationError, "invalid_api_key"),
        (400, {"code": "bad", "error": "Incorrect API key provided: x"}, AuthenticationError, "bad"),  # xAI
        (400, {"error": {"message": "Model Not Exist", "code": "invalid_request_error"}}, ModelNotFoundError, None),
        (400, {"object": "error", "type": "invalid_model", "message": "x", "code": "1500"}, ModelNotFoundError, "1500"),
        (404, {"error": {"code": "DeploymentNotFound", "message": "x"}}, ModelNotFoundError, "DeploymentNotFound"),
        (402, {"error": {"message": "Insufficient Balance", "code": "x"}}, QuotaError, "x"),
        (429, {"error": {"type": "insufficient_quota", "message": "x"}}, QuotaError, "insufficient_quota"),
        (413, {"error": {"message": "Request too large for model", "code": "rate_limit_exceeded"}}, QuotaError, None),
        (403, {"error": {"code": 403, "message": "x", "metadata": {"flagged_input": "y"}}}, ContentFilterError, "403"),
        (400, {"error": {"code": "content_filter", "message": "x"}}, ContentFilterError, "content_filter"),
        (422, {"detail": [{"loc": ["body"], "msg": "extra"}]}, BadRequestError, None),
        (500, b"<html>Internal</html>", ServerError, None),
        (503, b"", OverloadedError, None),
        (302, b"", MalformedResponseError, None),
        (429, [{"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}}], RateLimitError, "429"),
        (400, {"error": {"code": "json_validate_failed", "failed_generation": "{"}}, OutputInvalidError, None),
    ],
)
def test_failures_are_classified(status: int, body: Any, cls: type[ProviderError], code: str | None) -> None:
    error = failed(status, body)
    assert type(error) is cls
    assert error.status == status
    assert code is None or error.code == code


@pytest.mark.parametrize(
    ("error", "used", "limit"),
    [
        (
            {
                "code": "context_length_exceeded",
                "message": "This model's maximum context length is 128000 tokens. "
                "However, your messages resulted in 150000 tokens.",
            },
            150_000,
            128_000,
        ),
        (
            {"code": 400, "message": "This endpoint's maximum context length is 8192 tokens. "
             "However, you requested about 9000 tokens (8000 of text input, 1000 in the output)."},
            9000,
            8192,
        ),
        ({"type": "exceed_context_size_error", "message": "x", "n_ctx": 4096, "n_prompt_tokens": 5000}, 5000, 4096),
        (
            {"message": "This model's maximum prompt length is 131072 but the request contains 537812 tokens."},
            537_812,
            131_072,
        ),
        ({"code": "context_length_exceeded", "message": "Your input exceeds the context window."}, None, None),
    ],
)  # fmt: skip
def test_a_prompt_that_is_too_long_tells_its_counts(error: dict[str, Any], used: int | None, limit: int | None) -> None:
    found = failed(400, {"error": error})
    assert isinstance(found, ContextLengthError)
    assert (found.tokens_used, found.max_tokens) == (used, limit)


def test_a_429_that_says_not_to_retry_is_a_quota() -> None:
    assert type(failed(429, {}, {"X-Should-Retry": "false"})) is QuotaError
    assert type(failed(429, {}, {"X-Should-Retry": "true"})) is RateLimitError


def test_a_failure_keeps_delay_and_request_id() -> None:
    error = failed(429, {"error": {"message": "slow down"}}, {"Retry-After": "7", "X-Request-Id": "r1"})
    assert (error.retry_after, error.request_id, error.message) == (7.0, "r1", "slow down")


def test_what_the_provider_behind_openrouter_said_is_in_the_message() -> None:
    error = failed(429, {"error": {"code": 429, "message": "Provider returned error", "metadata": {"raw": "busy"}}})
    assert error.message == "Provider returned error: busy"


@given(st.integers(min_value=300, max_value=599), WIRE)
def test_every_failure_is_an_error_of_ours(status: int, body: Any) -> None:
    assert isinstance(OTHER.error(status, {}, body), ProviderError)
