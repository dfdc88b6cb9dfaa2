"""Every error that llmrouter raises.

LLMRouterError
├── ConfigError                 the file is wrong; lists every problem with its place
├── RouteNotFoundError          no such route; names the near misses
├── InvalidRequestError         the call itself is wrong: messages, tools or options (also a ValueError)
├── BudgetExceededError         a spend limit is reached
├── CircuitOpenError            the target's breaker is open
├── LimitExceededError          a rate or concurrency limit of the file is full
├── UnsupportedError            the target lacks something that the request needs
├── CacheMissError              cache="only" and there is no entry
├── DeadlineExceededError       the whole call ran out of time
├── AllTargetsFailedError       the chain is spent; carries the table of attempts
└── ProviderError               one provider's failure
    ├── RateLimitError          429 that will pass
    │   └── QuotaError          402, or a 429 that will not pass
    ├── ServerError             5xx
    │   └── OverloadedError     503, 529
    ├── APIConnectionError      refused, reset, DNS, TLS
    ├── RequestTimeoutError     attempt, connect, first-token or idle limit
    ├── MalformedResponseError  not JSON, not the protocol, an empty answer
    ├── BadRequestError         other 4xx
    │   └── ContextLengthError  longer than the model's window, or than the token budget
    ├── ContentFilterError      blocked by policy
    ├── AuthenticationError     401, or no key
    ├── PermissionDeniedError   403
    ├── ModelNotFoundError      404
    ├── OutputInvalidError      structured output that fails its schema
    ├── AnswerRejectedError     an answer whose finish reason the route counts as a failure
    │   ├── RefusalError        `on: {refusal: ...}`
    │   └── LengthError         `on: {length: ...}`
    └── StreamInterruptedError  a stream without its terminal event
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from llmrouter.hints import question

if TYPE_CHECKING:
    from llmrouter.types import Attempt


class LLMRouterError(Exception):
    """Base of every error this library raises. Pickles and copies with all of its fields."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take keyword fields; rebuilding from __dict__ keeps them all, whatever __init__ looks like.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__.copy()  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file: where it is, what is wrong, and what to do about it."""

    message: str
    path: str = ""  # routes.summarize.retry.attempts
    file: str | None = None
    line: int | None = None  # from 1
    column: int | None = None  # from 1
    hint: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        text = ": ".join(part for part in (place, self.path, self.message) if part)
        return f"{text}; {self.hint}" if self.hint else text


class ConfigError(LLMRouterError):
    """The configuration cannot be used. `problems` lists every mistake found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem] | str = ()) -> None:
        found = (Problem(problems),) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in found))
        self.problems: tuple[Problem, ...] = found


class RouteNotFoundError(LLMRouterError):
    """No route of this name, and it is no `provider/model` either. `near` holds the closest names."""

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        super().__init__("; ".join(filter(None, (f"no route named {name!r}", question(near)))))
        self.name, self.near = name, tuple(near)


class InvalidRequestError(LLMRouterError, ValueError):
    """The call cannot be understood: a message, part, tool or option has the wrong form."""


class UnsupportedError(LLMRouterError):
    """The target lacks something that the request needs (tools, images, schema, embeddings)."""


class CacheMissError(LLMRouterError):
    """`cache="only"` was asked, and no usable entry is in the cache."""


class DeadlineExceededError(LLMRouterError):
    """The call's deadline passed. `attempts` holds what was tried until then."""

    def __init__(self, message: str, attempts: Sequence[Attempt] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)


class BudgetExceededError(LLMRouterError):
    """A spend limit does not allow this attempt.

    `limit_usd`, `spent_usd` and `reserved_usd` are USD; `resets_at` is a Unix time in seconds, None for a total limit.
    """

    limit_usd: float | None = None
    spent_usd: float | None = None
    reserved_usd: float | None = None
    resets_at: float | None = None
    may_try_next: bool = False  # `on_exceed: next`: another rung may be within its limits


class CircuitOpenError(LLMRouterError):
    """The target's breaker is open: it failed repeatedly and is left alone. `retry_after` is in seconds."""

    retry_after: float | None = None


class LimitExceededError(LLMRouterError):
    """A rate or concurrency limit of the file is full for longer than this call may wait; `retry_after` in seconds."""

    retry_after: float | None = None


class ProviderError(LLMRouterError):
    """A provider's failure, whichever provider it was.

    Attributes: `message`; `target` (`provider/model`, None until the rung is known); `status` (HTTP status, None when
    no response came); `code` (the provider's own, as text); `request_id`; `retry_after` (seconds the provider asked us
    to wait, None when it did not say); `body` (the decoded error body, or its text).
    """

    short_name: ClassVar[str] = "provider"  # the class's name in a route's `on:` table

    def __init__(
        self,
        message: str,
        *,
        target: str | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        body: Any = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.target = target
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.body = body

    refused_param: str | None = None
    """The request's parameter that the model does not take, where the provider says so (`temperature`, `top_p`)."""

    def __str__(self) -> str:
        facts = [str(fact) for fact in (self.target, self.status, self.code) if fact is not None]
        suffix = f" ({', '.join(facts)})" if facts else ""
        return f"{self.message}{suffix}"


class RateLimitError(ProviderError):
    """429 that will pass; `retry_after` says when, if the provider did."""

    short_name = "rate_limit"


class QuotaError(RateLimitError):
    """402, or a 429 that will not pass: quota, credit, spend cap, or a request larger than the limit."""

    short_name = "quota"


class ServerError(ProviderError):
    """5xx."""

    short_name = "server"


class OverloadedError(ServerError):
    """503 or 529, or an overload reported inside a stream."""

    short_name = "overloaded"


class APIConnectionError(ProviderError):
    """No HTTP response, or not all of it: refused, reset, DNS or TLS failure.

    `answer_begun` says that the connection was lost amid an answer, which the provider may bill.
    """

    short_name = "connection"

    answer_begun: bool = False


class RequestTimeoutError(ProviderError):
    """A limit on one attempt passed: `limit` is connect, attempt, first_token, idle or total; `seconds` its length."""

    short_name = "timeout"

    limit: str | None = None
    seconds: float | None = None


class MalformedResponseError(ProviderError):
    """The answer is not JSON, not the protocol, or empty."""

    short_name = "malformed"


class BadRequestError(ProviderError):
    """The provider refused the request as it is (other 4xx)."""

    short_name = "bad_request"


class ContextLengthError(BadRequestError):
    """The prompt is longer than allowed. `tokens_used` and `max_tokens` are token counts, None when unknown."""

    short_name = "context_length"

    tokens_used: int | None = None
    max_tokens: int | None = None


class ContentFilterError(ProviderError):
    """The prompt or the answer was blocked by the provider's policy; `partial` is the text before the block."""

    short_name = "content_filter"

    partial: str = ""


class AuthenticationError(ProviderError):
    """401, a 400 that means a bad key, or no key at all."""

    short_name = "authentication"


class PermissionDeniedError(ProviderError):
    """403."""

    short_name = "permission"


class ModelNotFoundError(ProviderError):
    """404, or a 400 that means an unknown model."""

    short_name = "not_found"


class OutputInvalidError(ProviderError):
    """The answer does not satisfy the schema. `output` is the answer's text; `problems` what the validator said."""

    short_name = "output_invalid"

    output: str = ""
    problems: tuple[str, ...] = ()


class AnswerRejectedError(ProviderError):
    """The answer's finish reason counts as a failure on this route. `partial` is the answer's text."""

    partial: str = ""


class RefusalError(AnswerRejectedError):
    """The model refused, and the route's `on:` says that this is a failure."""

    short_name = "refusal"


class LengthError(AnswerRejectedError):
    """The answer was cut at `max_tokens`, and the route's `on:` says that this is a failure."""

    short_name = "length"


class StreamInterruptedError(ProviderError):
    """The stream ended without the provider's terminal event. `partial` is the text received until then."""

    short_name = "stream_interrupted"

    partial: str = ""


class AllTargetsFailedError(LLMRouterError):
    """Every rung failed or was skipped; `attempts` has them typed, `__cause__` is the first rung's error."""

    def __init__(self, message: str, attempts: Sequence[Attempt] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)


def provider_error_classes() -> dict[str, type[ProviderError]]:
    """Return each class that a route's `on:` table may name, by its short name."""
    found: dict[str, type[ProviderError]] = {}
    pending: list[type[ProviderError]] = [ProviderError]
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        if "short_name" in cls.__dict__ and cls is not ProviderError:
            found[cls.short_name] = cls
    return found
