"""Named LLM routes in a YAML file: fallbacks, retries, budgets, caching and prices behind one call.

    from llmrouter import Router

    router = Router("routes.yaml")
    print(router.chat("summarize", "a long text").content)

Importing the package is nearly free: each public name is loaded when it is first used, and a provider's SDK with the
first call that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmrouter.catalogue import ModelInfo
    from llmrouter.config.models import RoutesConfig
    from llmrouter.content import Document, Image, Text
    from llmrouter.errors import (
        AllTargetsFailedError,
        AnswerRejectedError,
        APIConnectionError,
        AuthenticationError,
        BadRequestError,
        BudgetExceededError,
        CacheMissError,
        CircuitOpenError,
        ConfigError,
        ContentFilterError,
        ContextLengthError,
        DeadlineExceededError,
        InvalidRequestError,
        LengthError,
        LimitExceededError,
        LLMRouterError,
        MalformedResponseError,
        ModelNotFoundError,
        OutputInvalidError,
        OverloadedError,
        PermissionDeniedError,
        Problem,
        ProviderError,
        QuotaError,
        RateLimitError,
        RefusalError,
        RequestTimeoutError,
        RouteNotFoundError,
        ServerError,
        StreamInterruptedError,
        UnsupportedError,
    )
    from llmrouter.explain import Plan, PlanRung
    from llmrouter.observe.log import disable_logging, enable_logging
    from llmrouter.route import Route
    from llmrouter.router import AsyncRouter, Router
    from llmrouter.secret import Secret
    from llmrouter.streams import AsyncStream, Stream
    from llmrouter.tools import call_tool, call_tool_async
    from llmrouter.types import (
        Attempt,
        Done,
        Embeddings,
        Event,
        Message,
        Reasoning,
        Response,
        Restart,
        TokenCount,
        Tool,
        ToolCall,
        ToolCallDelta,
        Trim,
        Usage,
    )

# The public names, by their module. Type checkers want them as imports and as a list too; a test compares the three.
_NAMES = {
    "catalogue": ("ModelInfo",),
    "config.models": ("RoutesConfig",),
    "content": ("Document", "Image", "Text"),
    "errors": (
        "APIConnectionError", "AllTargetsFailedError", "AnswerRejectedError", "AuthenticationError", "BadRequestError",
        "BudgetExceededError", "CacheMissError", "CircuitOpenError", "ConfigError", "ContentFilterError",
        "ContextLengthError", "DeadlineExceededError", "InvalidRequestError", "LLMRouterError", "LengthError",
        "LimitExceededError", "MalformedResponseError", "ModelNotFoundError", "OutputInvalidError", "OverloadedError",
        "PermissionDeniedError", "Problem", "ProviderError", "QuotaError", "RateLimitError", "RefusalError",
        "RequestTimeoutError", "RouteNotFoundError", "ServerError", "StreamInterruptedError", "UnsupportedError",
    ),
    "explain": ("Plan", "PlanRung"),
    "observe.log": ("disable_logging", "enable_logging"),
    "route": ("Route",),
    "router": ("AsyncRouter", "Router"),
    "secret": ("Secret",),
    "streams": ("AsyncStream", "Stream"),
    "tools": ("call_tool", "call_tool_async"),
    "types": (
        "Attempt", "Done", "Embeddings", "Event", "Message", "Reasoning", "Response", "Restart", "TokenCount", "Tool",
        "ToolCall", "ToolCallDelta", "Trim", "Usage",
    ),
}  # fmt: skip
_HOME = {name: f"llmrouter.{module}" for module, names in _NAMES.items() for name in names}

__all__ = [
    "APIConnectionError", "AllTargetsFailedError", "AnswerRejectedError", "AsyncRouter", "AsyncStream", "Attempt",
    "AuthenticationError", "BadRequestError", "BudgetExceededError", "CacheMissError", "CircuitOpenError",
    "ConfigError", "ContentFilterError", "ContextLengthError", "DeadlineExceededError", "Document", "Done",
    "Embeddings", "Event", "Image", "InvalidRequestError", "LLMRouterError", "LengthError", "LimitExceededError",
    "MalformedResponseError", "Message", "ModelInfo", "ModelNotFoundError", "OutputInvalidError", "OverloadedError",
    "PermissionDeniedError", "Plan", "PlanRung", "Problem", "ProviderError", "QuotaError", "RateLimitError",
    "Reasoning", "RefusalError", "RequestTimeoutError", "Response", "Restart", "Route", "RouteNotFoundError", "Router",
    "RoutesConfig", "Secret", "ServerError", "Stream", "StreamInterruptedError", "Text", "TokenCount", "Tool",
    "ToolCall", "ToolCallDelta", "Trim", "UnsupportedError", "Usage", "call_tool", "call_tool_async", "disable_logging",
    "enable_logging",
]  # fmt: skip

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load a public name from its module, once (PEP 562)."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'llmrouter' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
