"""Failed answers of servers that speak OpenAI's protocol, classified by code, type and status."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from llmrouter import shape
from llmrouter.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    ModelNotFoundError,
    OutputInvalidError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ServerError,
)
from llmrouter.providers.failures import class_of_status, decoded, excerpt, lower, retry_after_s

# Codes and types, in lower case. What stands here wins over the status.
_BY_CODE: Final[Mapping[str, type[ProviderError]]] = {
    "context_length_exceeded": ContextLengthError,
    "exceed_context_size_error": ContextLengthError,  # llama.cpp
    "tokens_limit_reached": ContextLengthError,  # Azure AI inference, 413
    "insufficient_quota": QuotaError,
    "insufficient_balance": QuotaError,
    "insufficient_credits": QuotaError,
    "billing_hard_limit_reached": QuotaError,
    "billing_not_active": QuotaError,
    "quota_exceeded": QuotaError,
    "content_filter": ContentFilterError,
    "content_policy_violation": ContentFilterError,
    "image_content_policy_violation": ContentFilterError,
    "responsibleaipolicyviolation": ContentFilterError,  # Azure, in innererror
    "moderation_blocked": ContentFilterError,
    "invalid_prompt": ContentFilterError,  # OpenAI: reasoning models' safety block of a prompt
    "bio_policy": ContentFilterError,
    "cyber_policy": ContentFilterError,
    "misalignment_policy_violation": ContentFilterError,
    "invalid_api_key": AuthenticationError,
    "authentication_error": AuthenticationError,
    "wrong_api_key": AuthenticationError,  # Cerebras
    "model_not_found": ModelNotFoundError,
    "model_not_found_error": ModelNotFoundError,
    "model_not_available": ModelNotFoundError,  # Together
    "model_decommissioned": ModelNotFoundError,  # Groq
    "invalid_model": ModelNotFoundError,  # Mistral, Perplexity
    "unknown_model": ModelNotFoundError,  # Azure AI inference
    "deploymentnotfound": ModelNotFoundError,  # Azure
    "slow_down": OverloadedError,
    "server_is_overloaded": OverloadedError,
    "overloaded": OverloadedError,
    "overloaded_error": OverloadedError,
    "engine_overloaded": OverloadedError,
    "json_validate_failed": OutputInvalidError,  # Groq: the model's answer fails the schema
}

# Only for errors inside a 200, where no HTTP status says more.
_BY_CODE_WITHOUT_STATUS: Final[Mapping[str, type[ProviderError]]] = {
    "rate_limit_exceeded": RateLimitError,
    "rate_limit_error": RateLimitError,
    "rate_limited": RateLimitError,
    "too_many_requests": RateLimitError,
    "invalid_request_error": BadRequestError,
    "permission_error": PermissionDeniedError,
    "not_found_error": ModelNotFoundError,
    "vector_store_timeout": ServerError,
    "invalid_image": BadRequestError,
    "invalid_image_format": BadRequestError,
    "invalid_base64_image": BadRequestError,
    "invalid_image_url": BadRequestError,
    "image_too_large": BadRequestError,
    "image_too_small": BadRequestError,
    "image_parse_error": BadRequestError,
    "image_file_too_large": BadRequestError,
    "unsupported_image_media_type": BadRequestError,
    "empty_image_file": BadRequestError,
    "failed_to_download_image": BadRequestError,
    "image_file_not_found": BadRequestError,
    "data_residency_mismatch": BadRequestError,
}

# Where a server gives nothing but a sentence: (statuses, words in lower case, class).
_BY_PROSE: Final[tuple[tuple[tuple[int, ...], str, type[ProviderError]], ...]] = (
    ((400, 413, 422), "maximum context length", ContextLengthError),  # vLLM, DeepSeek, OpenRouter, Mistral
    ((400, 413, 422), "maximum prompt length", ContextLengthError),  # xAI
    ((400, 413, 422), "exceeds the context window", ContextLengthError),  # OpenAI Responses, Ollama
    ((400, 413, 422), "exceeds the available context size", ContextLengthError),  # llama.cpp before its own type
    ((400, 413, 422), "`inputs` tokens + `max_new_tokens` must be", ContextLengthError),  # Together, TGI
    ((400, 413, 422), "exceeded max context length", ContextLengthError),  # Ollama's cloud
    ((400, 413, 422), "total length of all messages is too long", ContextLengthError),  # Perplexity
    ((413, 429), "request too large", QuotaError),  # OpenAI, Groq: one request above the limit per minute
    ((429,), "free-models-per-day", QuotaError),  # OpenRouter
    ((403, 429), "available credits", QuotaError),  # xAI: "has either used all available credits or reached its ..."
    ((403,), "doesn't have any credits", QuotaError),  # xAI, a new team
    ((400,), "incorrect api key", AuthenticationError),  # xAI
    ((400,), "model not exist", ModelNotFoundError),  # DeepSeek
    ((400,), "is not a valid model id", ModelNotFoundError),  # OpenRouter
)

_LIMIT: Final = re.compile(r"(?:context length|prompt length|context size|context window)(?: is| of)? \(?(\d+)")
_USED: Final = re.compile(r"(?:resulted in|requested(?: about)?|contains|request \() ?(\d+) ?tokens")


def failure(status: int | None, headers: Mapping[str, str], body: Any) -> ProviderError:
    """Return the error for a response; `status` None is an error inside a 200 (a body or an event of a stream)."""
    headers, body = lower(headers), decoded(body)
    detail = _detail(body)
    message, code = _message(detail, body, status), _code(detail)
    if status is None:
        status = _status_in(detail)
    cls = _class(status, headers, detail, message.lower())
    error = cls(
        message,
        status=status,
        code=code,
        request_id=request_id(headers, body),
        retry_after=retry_after_s(headers),
        body=body,
    )
    _fill(error, detail)
    if code in ("unsupported_parameter", "unsupported_value"):
        error.refused_param = shape.text(detail.get("param")) or None
    return error


def request_id(headers: Mapping[str, str], body: Any = None) -> str | None:
    """Return the id to quote to the provider's support: a header, else one in the body."""
    for name in ("x-request-id", "apim-request-id", "mistral-correlation-id"):
        found = headers.get(name)
        if found:
            return found
    fields = shape.mapping(body)
    return shape.text(fields.get("request_id")) or shape.text(fields.get("id")) or None


def _detail(body: Any) -> Mapping[str, Any]:
    """Find the object that describes the error: `error`, or the body itself where a server wraps nothing (Mistral)."""
    if isinstance(body, list):  # Google's compatible endpoint wraps the body in an array
        body = body[0] if body else None
    if not isinstance(body, dict):
        return {"message": excerpt(body)} if isinstance(body, str) else {}
    inner = body.get("error")
    if isinstance(inner, str):
        return {"message": inner, "code": body.get("code"), "type": body.get("type")}
    return inner if isinstance(inner, dict) else body


def _message(detail: Mapping[str, Any], body: Any, status: int | None) -> str:
    message = detail.get("message") or detail.get("detail")
    if isinstance(message, str):
        upstream = shape.mapping(detail.get("metadata")).get("raw")  # OpenRouter: what the provider behind it said
        return f"{message}: {excerpt(upstream)}" if isinstance(upstream, str) and upstream else message
    if message:
        return excerpt(json.dumps(message, ensure_ascii=False, default=str))
    if body:
        return excerpt(body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, default=str))
    return "an error without a description" if status is None else f"HTTP {status} without a description"


def _code(detail: Mapping[str, Any]) -> str | None:
    for name in ("code", "type"):
        value = detail.get(name)
        if value is not None and value != "" and not isinstance(value, dict | list):
            return str(value)
    return None


def _names(detail: Mapping[str, Any]) -> Iterator[str]:
    for value in (detail.get("code"), detail.get("type"), shape.mapping(detail.get("innererror")).get("code")):
        if isinstance(value, str):
            yield value.lower()


def _status_in(detail: Mapping[str, Any]) -> int | None:
    """Return the HTTP status that an error inside a 200 carries as its code (OpenRouter), None where it has none."""
    for value in (detail.get("code"), detail.get("status"), detail.get("status_code")):
        text = str(value)
        if text.isascii() and text.isdigit() and 400 <= int(text[:4]) < 600:
            return int(text[:4])
    return None


def _class(
    status: int | None, headers: Mapping[str, str], detail: Mapping[str, Any], message: str
) -> type[ProviderError]:
    names = tuple(_names(detail))
    for name in names:
        known = _BY_CODE.get(name) or (_BY_CODE_WITHOUT_STATUS.get(name) if status is None else None)
        if known is not None:
            return known
    if status == 403 and "flagged_input" in shape.mapping(detail.get("metadata")):  # OpenRouter's moderation
        return ContentFilterError
    if "string_above_max_length" in names and shape.text(detail.get("param")).startswith(("messages", "input")):
        return ContextLengthError  # one message longer than any window of OpenAI's
    for statuses, words, cls in _BY_PROSE:
        if (status is None or status in statuses) and words in message:
            return cls
    if status is None:
        return ServerError
    if status == 413 and "rate_limit_exceeded" in names:  # Groq: larger than the limit per minute
        return QuotaError
    if status == 429 and headers.get("x-should-retry") == "false":
        return QuotaError
    return class_of_status(status)


def _fill(error: ProviderError, detail: Mapping[str, Any]) -> None:
    if isinstance(error, ContextLengthError):
        limit, used = _LIMIT.search(error.message), _USED.search(error.message)
        error.max_tokens = shape.count(detail.get("n_ctx")) or (int(limit[1]) if limit else None)
        error.tokens_used = shape.count(detail.get("n_prompt_tokens")) or (int(used[1]) if used else None)
    elif isinstance(error, OutputInvalidError):
        error.output = shape.text(detail.get("failed_generation"))
