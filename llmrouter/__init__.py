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
    from llmrouter.catalogue import (
        ModelInfo as ModelInfo,
    )
    from llmrouter.config.models import (
        RoutesConfig as RoutesConfig,
    )
    from llmrouter.errors import (
        AllTargetsFailedError as AllTargetsFailedError,
    )
    from llmrouter.errors import (
        AnswerRejectedError as AnswerRejectedError,
    )
    from llmrouter.errors import (
        APIConnectionError as APIConnectionError,
    )
    from llmrouter.errors import (
        AuthenticationError as AuthenticationError,
    )
    from llmrouter.errors import (
        BadRequestError as BadRequestError,
    )
    from llmrouter.errors import (
        BudgetExceededError as BudgetExceededError,
    )
    from llmrouter.errors import (
        CacheMissError as CacheMissError,
    )
    from llmrouter.errors import (
        CircuitOpenError as CircuitOpenError,
    )
    from llmrouter.errors import (
        ConfigError as ConfigError,
    )
    from llmrouter.errors import (
        ContentFilterError as ContentFilterError,
    )
    from llmrouter.errors import (
        ContextLengthError as ContextLengthError,
    )
    from llmrouter.errors import (
        DeadlineExceededError as DeadlineExceededError,
    )
    from llmrouter.errors import (
        InvalidRequestError as InvalidRequestError,
    )
    from llmrouter.errors import (
        LengthError as LengthError,
    )
    from llmrouter.errors import (
        LimitExceededError as LimitExceededError,
    )
    from llmrouter.errors import (
        LLMRouterError as LLMRouterError,
    )
    from llmrouter.errors import (
        MalformedResponseError as MalformedResponseError,
    )
    from llmrouter.errors import (
        ModelNotFoundError as ModelNotFoundError,
    )
    from llmrouter.errors import (
        OutputInvalidError as OutputInvalidError,
    )
    from llmrouter.errors import (
        OverloadedError as OverloadedError,
    )
    from llmrouter.errors import (
        PermissionDeniedError as PermissionDeniedError,
    )
    from llmrouter.errors import (
        Problem as Problem,
    )
    from llmrouter.errors import (
        ProviderError as ProviderError,
    )
    from llmrouter.errors import (
        QuotaError as QuotaError,
    )
    from llmrouter.errors import (
        RateLimitError as RateLimitError,
    )
    from llmrouter.errors import (
        RefusalError as RefusalError,
    )
    from llmrouter.errors import (
        RequestTimeoutError as RequestTimeoutError,
    )
    from llmrouter.errors import (
        RouteNotFoundError as RouteNotFoundError,
    )
    from llmrouter.errors import (
        ServerError as ServerError,
    )
    from llmrouter.errors import (
        StreamInterruptedError as StreamInterruptedError,
    )
    from llmrouter.errors import (
        UnsupportedError as UnsupportedError,
    )
    from llmrouter.explain import (
        Plan as Plan,
    )
    from llmrouter.explain import (
        PlanRung as PlanRung,
    )
    from llmrouter.observe.log import (
        disable_logging as disable_logging,
    )
    from llmrouter.observe.log import (
        enable_logging as enable_logging,
    )
    from llmrouter.router import (
        AsyncRouter as AsyncRouter,
    )
    from llmrouter.router import (
    )
    from llmrouter.router import (
    )
    from llmrouter.router import (
        Router as Router,
    )
    from llmrouter.router import (
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Attempt as Attempt,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Document as Document,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Done as Done,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Embeddings as Embeddings,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Event as Event,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Image as Image,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Message as Message,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Reasoning as Reasoning,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Response as Response,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Restart as Restart,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Secret as Secret,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Text as Text,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        TokenCount as TokenCount,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Tool as Tool,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        ToolCall as ToolCall,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        ToolCallDelta as ToolCallDelta,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Trim as Trim,
    )
    from llmrouter.route import Route as Route
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.types import (
        Usage as Usage,
    )

_HOME = {
    "ModelInfo": "llmrouter.catalogue",
    "RoutesConfig": "llmrouter.config.models",
    "APIConnectionError": "llmrouter.errors",
    "AllTargetsFailedError": "llmrouter.errors",
    "AnswerRejectedError": "llmrouter.errors",
    "AuthenticationError": "llmrouter.errors",
    "BadRequestError": "llmrouter.errors",
    "BudgetExceededError": "llmrouter.errors",
    "CacheMissError": "llmrouter.errors",
    "CircuitOpenError": "llmrouter.errors",
    "ConfigError": "llmrouter.errors",
    "ContentFilterError": "llmrouter.errors",
    "ContextLengthError": "llmrouter.errors",
    "DeadlineExceededError": "llmrouter.errors",
    "InvalidRequestError": "llmrouter.errors",
    "LLMRouterError": "llmrouter.errors",
    "LengthError": "llmrouter.errors",
    "LimitExceededError": "llmrouter.errors",
    "MalformedResponseError": "llmrouter.errors",
    "ModelNotFoundError": "llmrouter.errors",
    "OutputInvalidError": "llmrouter.errors",
    "OverloadedError": "llmrouter.errors",
    "PermissionDeniedError": "llmrouter.errors",
    "Problem": "llmrouter.errors",
    "ProviderError": "llmrouter.errors",
    "QuotaError": "llmrouter.errors",
    "RateLimitError": "llmrouter.errors",
    "RefusalError": "llmrouter.errors",
    "RequestTimeoutError": "llmrouter.errors",
    "RouteNotFoundError": "llmrouter.errors",
    "ServerError": "llmrouter.errors",
    "StreamInterruptedError": "llmrouter.errors",
    "UnsupportedError": "llmrouter.errors",
    "Plan": "llmrouter.explain",
    "PlanRung": "llmrouter.explain",
    "disable_logging": "llmrouter.observe.log",
    "enable_logging": "llmrouter.observe.log",
    "AsyncRouter": "llmrouter.router",
    "AsyncStream": "llmrouter.streams",
    "Route": "llmrouter.route",
    "Router": "llmrouter.router",
    "Stream": "llmrouter.streams",
    "Attempt": "llmrouter.types",
    "Document": "llmrouter.content",
    "Done": "llmrouter.types",
    "Embeddings": "llmrouter.types",
    "Event": "llmrouter.types",
    "Image": "llmrouter.content",
    "Message": "llmrouter.types",
    "Reasoning": "llmrouter.types",
    "Response": "llmrouter.types",
    "Restart": "llmrouter.types",
    "Secret": "llmrouter.secret",
    "Text": "llmrouter.content",
    "TokenCount": "llmrouter.types",
    "Tool": "llmrouter.types",
    "ToolCall": "llmrouter.types",
    "ToolCallDelta": "llmrouter.types",
    "Trim": "llmrouter.types",
    "Usage": "llmrouter.types",
}

__all__ = [
    "APIConnectionError",
    "AllTargetsFailedError",
    "AnswerRejectedError",
    "AsyncRouter",
    "AsyncStream",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "CacheMissError",
    "CircuitOpenError",
    "ConfigError",
    "ContentFilterError",
    "ContextLengthError",
    "DeadlineExceededError",
    "Document",
    "Done",
    "Embeddings",
    "Event",
    "Image",
    "InvalidRequestError",
    "LLMRouterError",
    "LengthError",
    "LimitExceededError",
    "MalformedResponseError",
    "Message",
    "ModelInfo",
    "ModelNotFoundError",
    "OutputInvalidError",
    "OverloadedError",
    "PermissionDeniedError",
    "Plan",
    "PlanRung",
    "Problem",
    "ProviderError",
    "QuotaError",
    "RateLimitError",
    "Reasoning",
    "RefusalError",
    "RequestTimeoutError",
    "Response",
    "Restart",
    "Route",
    "RouteNotFoundError",
    "Router",
    "RoutesConfig",
    "Secret",
    "ServerError",
    "Stream",
    "StreamInterruptedError",
    "Text",
    "TokenCount",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "Trim",
    "UnsupportedError",
    "Usage",
    "disable_logging",
    "enable_logging",
]

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
