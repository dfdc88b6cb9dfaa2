"""Failures of the Messages API, classified by type, status and code; by prose only where nothing else tells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from llmrouter.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
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

_BY_TYPE: Final[Mapping[str, type[ProviderError]]] = {
    # Anthropic: `error.type` (API reference, "Errors"; `types/shared/error_type.py` of the SDK)
    "invalid_request_error": BadRequestError,
    "authentication_error": AuthenticationError,
    "billing_error": QuotaError,
    "permission_error": PermissionDeniedError,
    "not_found_error": ModelNotFoundError,
    "request_too_large": ContextLengthError,
    "conflict_error": BadRequestError,
    "rate_limit_error": RateLimitError,
    "timeout_error": ServerError,
    "api_error": ServerError,
    "overloaded_error": OverloadedError,
    # Bedrock: exceptions of InvokeModel and InvokeModelWithResponseStream (service model of the AWS SDK)
    "accessdeniedexception": PermissionDeniedError,
    "expiredtokenexception": AuthenticationError,
    "incompletesignatureexception": AuthenticationError,
    "internalserverexception": ServerError,
    "invalidsignatureexception": AuthenticationError,
    "modelerrorexception": ServerError,
    "modelnotreadyexception": OverloadedError,
    "modelstreamerrorexception": ServerError,
    "modeltimeoutexception": ServerError,
    "resourcenotfoundexception": ModelNotFoundError,
    "servicequotaexceededexception": QuotaError,
    "serviceunavailableexception": OverloadedError,
    "throttlingexception": RateLimitError,
    "unrecognizedclientexception": AuthenticationError,
    "validationexception": BadRequestError,
}

_SPENT: Final = frozenset(
    {  # `error.details.error_code` of money that is used up (`types/shared/*_error_details.py` of the SDK)
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "linked_organization_billing_unavailable",
        "linked_organization_spend_limit_reached",
    }
)

# All of these come as a plain `invalid_request_error` or throttling: only the words tell them apart.
_BY_PROSE: Final[tuple[tuple[re.Pattern[str], type[ProviderError]], ...]] = (
    # recorded Aug 2026: "prompt is too long: 3333404 tokens > 200000 maximum"
    (re.compile(r"prompt is too long(?:: (?P<used>\d+) tokens > (?P<limit>\d+) maximum)?"), ContextLengthError),
    # docker/docker-agent issue 569: "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, ..."
    (re.compile(r"exceed context limit: (?P<used>\d+) \+ \d+ > (?P<limit>\d+)"), ContextLengthError),
    # Bedrock's words for the same thing: "Input is too long for requested model."
    (re.compile(r"input is too long for requested model", re.IGNORECASE), ContextLengthError),
    # anthropics/claude-code issue 66314: "Your credit balance is too low to access the Anthropic API. ..."
    (re.compile(r"credit balance is too low"), QuotaError),
    # Console spend limit: "You have reached your specified API usage limits. You will regain access on ..."
    (re.compile(r"reached your specified (?:\w+ )?API usage limits"), QuotaError),
    # Bedrock's daily allowance: "Too many tokens per day, please wait before trying again."
    (re.compile(r"too many tokens per day", re.IGNORECASE), QuotaError),
    # anthropics/claude-code, many reports: "Output blocked by content filtering policy"
    (re.compile(r"blocked by content filtering policy"), ContentFilterError),
    # Bedrock says "The provided model identifier is invalid." with a ValidationException
    (re.compile(r"provided model identifier is invalid"), ModelNotFoundError),
)

# A sampler that the model does not take is named in the message alone. Recorded in public reports: "`temperature` and
# `top_p` cannot both be specified for this model. Please use only one."; "`temperature` is deprecated for this model."
_REFUSED: Final = re.compile(r"`?(?:temperature`? and `?)?(temperature|top_p)`? (?:is|are|cannot|may only|must be)\b")

_REQUEST_ID_HEADERS: Final = ("request-id", "x-amzn-requestid", "x-request-id")


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """Return the id of the request; `headers` has lower-case names."""
    return next((headers[name] for name in _REQUEST_ID_HEADERS if name in headers), None)


def error_of(status: int, headers: Mapping[str, str], body: bytes | str | Any) -> ProviderError:
    """Classify a failed response, an error body under status 200, or an error event of a stream (status 200)."""
    headers, body = lower(headers), decoded(body)
    kind, message, details_code = _facts(headers, body)
    cls, found = _class(status, headers, kind, message, details_code)
    given_id = body.get("request_id") if isinstance(body, dict) else None
    error = cls(
        message or f"the provider answered status {status}",
        status=status,
        code=details_code or kind,
        request_id=request_id_of(headers) or (given_id if isinstance(given_id, str) else None),
        retry_after=retry_after_s(headers) if status >= 400 else None,
        body=body,
    )
    if isinstance(error, ContextLengthError) and found and found.groupdict():
        error.tokens_used, error.max_tokens = _number(found["used"]), _number(found["limit"])
    if status == 400 and cls is BadRequestError:
        refused = _REFUSED.search(message)
        error.refused_param = refused[1] if refused else None
    return error


def _facts(headers: Mapping[str, str], body: Any) -> tuple[str | None, str, str | None]:
    """Return the error's type, its message, and the code of its details, in Anthropic's form or in Bedrock's."""
    # Bedrock names the exception in a header, which may go on with ":http://..."
    kind: Any = headers.get("x-amzn-errortype", "").partition(":")[0] or None
    if not isinstance(body, dict):
        return kind, excerpt(body) if isinstance(body, str) else "", None
    error = body.get("error")
    if not isinstance(error, dict):
        message = body.get("message", body.get("Message", error))
        return kind, message if isinstance(message, str) else "", None
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    given, message = error.get("type") or error.get("status"), error.get("message")  # `status` is Vertex's word
    return (
        given if isinstance(given, str) else kind,
        message if isinstance(message, str) else "",
        code if isinstance(code, str) else None,
    )


def _class(
    status: int, headers: Mapping[str, str], kind: str | None, message: str, details_code: str | None
) -> tuple[type[ProviderError], re.Match[str] | None]:
    cls = _BY_TYPE.get((kind or "").lower())
    if cls is None:
        cls = ServerError if status < 300 else class_of_status(status)  # an unknown failure inside a 200
    elif (cls is BadRequestError and status >= 400) or (cls is ServerError and status >= 500):
        cls = class_of_status(status)  # says at least as much as the two general types do
    if details_code in _SPENT:
        return QuotaError, None
    if cls is RateLimitError and headers.get("x-should-retry") == "false":
        return QuotaError, None
    if cls in (BadRequestError, RateLimitError):
        for pattern, meant in _BY_PROSE:
            found = pattern.search(message)
            if found:
                return meant, found
    return cls, None


def _number(text: str | None) -> int | None:
    return int(text) if text else None
