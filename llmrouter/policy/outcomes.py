"""What an error means for the chain: ask the same target again, go to the next rung, or stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from llmrouter.errors import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    CacheMissError,
    CircuitOpenError,
    ContentFilterError,
    ContextLengthError,
    LimitExceededError,
    LLMRouterError,
    MalformedResponseError,
    ModelNotFoundError,
    OutputInvalidError,
    PermissionDeniedError,
    QuotaError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    StreamInterruptedError,
    UnsupportedError,
    provider_error_classes,
)

Action: TypeAlias = Literal["retry", "next", "stop"]

# "retry" ends in "next" when the attempts are used up. A class that is not here goes by its nearest base.
DEFAULTS: Final[Mapping[type[LLMRouterError], Action]] = {
    RateLimitError: "retry",
    QuotaError: "next",
    ServerError: "retry",
    APIConnectionError: "retry",
    RequestTimeoutError: "next",
    MalformedResponseError: "retry",
    ContextLengthError: "next",
    ContentFilterError: "stop",
    BadRequestError: "stop",
    AuthenticationError: "next",
    PermissionDeniedError: "next",
    ModelNotFoundError: "next",
    OutputInvalidError: "next",
    StreamInterruptedError: "retry",
    CacheMissError: "next",
    CircuitOpenError: "next",
    LimitExceededError: "next",
    UnsupportedError: "next",
}


class Actions:
    """One route's table from error class to action: the defaults, with the file's `on:` over them."""

    __slots__ = ("_chosen", "_table", "rejected")

    def __init__(self, on: Mapping[Any, Action] | None = None) -> None:
        classes = provider_error_classes() if on else {}
        self._chosen = frozenset(classes[name] for name in on or {})
        chosen = {classes[name]: action for name, action in (on or {}).items()}
        self._table: Mapping[type[BaseException], Action] = {**DEFAULTS, **chosen}  # type: ignore[dict-item]  # wider key
        self.rejected: frozenset[str] = frozenset(on or {}) & {"refusal", "length"}
        """The finish reasons that this route counts as failures."""

    def of(self, error: BaseException, *, on_fallback: bool) -> Action:
        """Return what to do after `error`; `on_fallback` says that it came from another rung than the first.

        There a bad request leads to the next rung, unless `on:` says otherwise: the caller is to see why the first
        rung failed, and not that its substitute dislikes the request.
        """
        if isinstance(error, BudgetExceededError) and error.may_try_next:
            return "next"
        for cls in type(error).__mro__:
            action = self._table.get(cls)
            if action is not None:
                forgiven = on_fallback and cls is BadRequestError and cls not in self._chosen
                return "next" if forgiven else action
        return "stop"
