"""Google's error bodies (google.rpc.Status, AIP-193) as ours: by code and typed details, by prose only at last."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from llmrouter.errors import (
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ServerError,
)
from llmrouter.providers.failures import class_of_status, decoded, excerpt, lower, retry_after_s

# google.rpc.Code by name; codes that are missing here go by the HTTP status.
_BY_CODE: Final[Mapping[str, type[ProviderError]]] = {
    "INVALID_ARGUMENT": BadRequestError,
    "OUT_OF_RANGE": BadRequestError,
    # Says that the account, region or billing does not allow the call, whatever the request: another provider may.
    "FAILED_PRECONDITION": PermissionDeniedError,
    "UNAUTHENTICATED": AuthenticationError,
    "PERMISSION_DENIED": PermissionDeniedError,
    "NOT_FOUND": ModelNotFoundError,
    "RESOURCE_EXHAUSTED": RateLimitError,
    "ABORTED": ServerError,
    "CANCELLED": ServerError,
    "DATA_LOSS": ServerError,
    "DEADLINE_EXCEEDED": ServerError,
    "INTERNAL": ServerError,
    "UNKNOWN": ServerError,
    "UNAVAILABLE": OverloadedError,
}

# google.rpc.ErrorInfo.reason, where it says more than the code.
_BY_REASON: Final[Mapping[str, type[ProviderError]]] = {
    "API_KEY_INVALID": AuthenticationError,  # recorded: 400 INVALID_ARGUMENT
    "API_KEY_EXPIRED": AuthenticationError,
    "ACCESS_TOKEN_EXPIRED": AuthenticationError,
    "CREDENTIALS_MISSING": AuthenticationError,
    "BILLING_DISABLED": QuotaError,
}

# What Google says in words alone: the code is INVALID_ARGUMENT or RESOURCE_EXHAUSTED, and there are no details.
_BY_PROSE: Final[tuple[tuple[str, type[ProviderError]], ...]] = (
    ("input token count", ContextLengthError),  # Gemini API: "The input token count (N) exceeds the maximum ... (M)."
    ("exceeds the maximum number of tokens", ContextLengthError),  # the same, older wording
    ("unexpected model name format", ModelNotFoundError),  # Gemini API, a model name with odd characters
    ("prepayment credits", QuotaError),  # Gemini API billing: prepaid credits are used up
    ("spending cap", QuotaError),  # Gemini API billing: the project's monthly cap is reached
)


def google_error(status: int | None, headers: Mapping[str, str], body: Any) -> ProviderError:
    """Classify a failed response, or an error inside a 200 (`status` None: the body's own code is the status)."""
    content = decoded(body)
    if isinstance(content, list) and content:  # streamGenerateContent without SSE wraps even its errors in an array
        content = content[0]
    report = content.get("error") if isinstance(content, dict) else None
    if not isinstance(report, dict):
        report = {"message": report} if isinstance(report, str) else {}
    if status is None:
        code = report.get("code")
        status = code if isinstance(code, int) and 100 <= code <= 599 else 500
    return _classified(status, lower(headers), content, report)


def _classified(status: int, headers: Mapping[str, str], content: Any, report: Mapping[str, Any]) -> ProviderError:
    code = report.get("status")
    code = code if isinstance(code, str) else None
    message = report.get("message")
    if not isinstance(message, str) or not message.strip():
        message = (
            excerpt(content) if isinstance(content, str) and content.strip() else f"HTTP {status} without a reason"
        )
    details = _details(report)
    error = _class(status, code, message, details)(
        message.strip(),
        status=status,
        code=code,
        request_id=headers.get("x-request-id"),
        retry_after=_delay_s(details, headers),
        body=content,
    )
    if isinstance(error, ContextLengthError):
        error.tokens_used, error.max_tokens = _counts(message)
    return error


def _class(
    status: int, code: str | None, message: str, details: Mapping[str, list[Mapping[str, Any]]]
) -> type[ProviderError]:
    for info in details.get("ErrorInfo", ()):
        known = _BY_REASON.get(str(info.get("reason")))
        if known is not None:
            return known
    found = _BY_CODE.get(code or "") or class_of_status(status)
    if found is RateLimitError and _will_not_pass(details):
        return QuotaError
    if found in (BadRequestError, RateLimitError):
        lowered = message.lower()
        return next((cls for phrase, cls in _BY_PROSE if phrase in lowered), found)
    return found


def _details(report: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the typed details by their short type name: `ErrorInfo`, `QuotaFailure`, `RetryInfo`."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    details = report.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            found.setdefault(str(detail.get("@type")).rpartition(".")[2], []).append(detail)
    return found


def _violations(details: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[Mapping[str, Any]]:
    for failure in details.get("QuotaFailure", ()):
        violations = failure.get("violations")
        if isinstance(violations, list):
            yield from (violation for violation in violations if isinstance(violation, dict))


def _will_not_pass(details: Mapping[str, list[Mapping[str, Any]]]) -> bool:
    """Tell whether a quota of a day, or of zero, is used up.

    Such a body still carries a RetryInfo of a few seconds, which is the minute window's and says nothing of the day.
    """
    return any(
        "PerDay" in str(violation.get("quotaId")) or str(violation.get("quotaValue")) == "0"
        for violation in _violations(details)
    )


def _delay_s(details: Mapping[str, list[Mapping[str, Any]]], headers: Mapping[str, str]) -> float | None:
    for info in details.get("RetryInfo", ()):
        delay = _duration_s(info.get("retryDelay"))
        if delay is not None:
            return delay
    return retry_after_s(headers)


def _duration_s(value: Any) -> float | None:
    """Read a protobuf Duration as JSON writes it (`48s`, `1.5s`), or as its fields."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,12}(\.\d{1,9})?s", value, re.ASCII):
        return float(value[:-1])
    if isinstance(value, dict):
        seconds, nanos = value.get("seconds", 0), value.get("nanos", 0)
        if str(seconds).isdecimal() and len(str(seconds)) <= 12 and isinstance(nanos, int) and 0 <= nanos < 10**9:
            return int(seconds) + nanos / 1e9
    return None


def _counts(message: str) -> tuple[int | None, int | None]:
    """Return the tokens used and allowed that the message names: two numbers, or the limit alone."""
    numbers = [int(text.replace(",", "")) for text in re.findall(r"\d[\d,]{2,18}", message)]
    if len(numbers) >= 2:
        return numbers[0], numbers[1]
    return None, (numbers[0] if numbers else None)
