"""What failed HTTP responses have in common on every provider: the delay they ask for, and the class of a status."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from llmrouter.errors import (
    AuthenticationError,
    BadRequestError,
    MalformedResponseError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
)
from llmrouter.types import Secret

_SECRET_LENGTH: Final = 8

_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthenticationError,
    402: QuotaError,
    403: PermissionDeniedError,
    404: ModelNotFoundError,
    408: RequestTimeoutError,  # a gateway (OpenRouter, proxies) gave up on the model
    429: RateLimitError,
    498: OverloadedError,  # Groq: the flex tier is full for the moment
    503: OverloadedError,
    529: OverloadedError,  # Anthropic's own status for overload
}


def class_of_status(status: int) -> type[ProviderError]:
    """Return the error class that the HTTP status alone decides. A redirect is malformed: we never follow one."""
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    if status >= 500:
        return ServerError
    if status >= 400:
        return BadRequestError
    return MalformedResponseError


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with lower-case names."""
    return {name.lower(): value for name, value in headers.items()}


def retry_after_s(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return the seconds that `retry-after-ms` or `retry-after` (seconds or HTTP date, RFC 9110 10.2.3) ask to wait.

    `headers` has lower-case names; `now` is Unix time in seconds (None: the clock). None when neither header says
    anything usable; a date in the past is 0.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if text is None:
        return milliseconds  # Azure says 0 ms beside one second: there the second counts
    seconds = _number(text)
    if seconds is not None:
        return seconds
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return max(0.0, at - (time.time() if now is None else now))


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def decoded(body: Any) -> Any:
    """Return an error body as JSON where it is JSON, else as text; what is already decoded stays as it is."""
    if isinstance(body, bytes | bytearray):
        body = bytes(body).decode("utf-8", "replace")
    if not isinstance(body, str):
        return body
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def redact(key: Secret | None, error: ProviderError, cause: Exception) -> None:
    """Blot our key out of an error and its cause: some servers quote the key that they refuse.

    A very short one is left, because it is a word ("unused") and occurs in any text.
    """
    secret = key.reveal() if key else ""
    if len(secret) < _SECRET_LENGTH:
        return
    if secret in error.message:
        error.message = error.message.replace(secret, "***")
        error.args = (error.message,)
    if secret in str(cause.args):
        cause.args = tuple(str(argument).replace(secret, "***") for argument in cause.args)
    error.body = _blotted(secret, error.body)
    for name, value in list(vars(cause).items()):  # SDKs keep what they read under names of their own
        if isinstance(value, str | dict | list):
            setattr(cause, name, _blotted(secret, value))


def _blotted(secret: str, data: Any) -> Any:
    text = json.dumps(data, default=repr)
    return decoded(text.replace(secret, "***")) if secret in text else data


def excerpt(text: str, limit: int = 200) -> str:
    """Return the start of a body that is not the protocol's, on one line, for an error message."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
