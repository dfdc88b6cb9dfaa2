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
    from llmrouter.content import (
        Document as Document,
        Image as Image,
        Text as Text,
    )
    from llmrouter.errors import (
        AllTargetsFailedError as AllTargetsFailedError,
        AnswerRejectedError as AnswerRejectedError,
        APIConnectionError as APIConnectionError,
        AuthenticationError as AuthenticationError,
        BadRequestError as BadRequestError,
        BudgetExceededError as BudgetExceededError,
        CacheMissError as CacheMissError,
        CircuitOpenError as CircuitOpenError,
        ConfigError as ConfigError,
        ContentFilterError as ContentFilterError,
        ContextLengthError as ContextLengthError,
        DeadlineExceededError as DeadlineExceededError,
        InvalidRequestError as InvalidRequestError,
        LengthError as LengthError,
        LimitExceededError as LimitExceededError,
        LLMRouterError as LLMRouterError,
        MalformedResponseError as MalformedResponseError,
        ModelNotFoundError as ModelNotFoundError,
        OutputInvalidError as OutputInvalidError,
        OverloadedError as OverloadedError,
        PermissionDeniedError as PermissionDeniedError,
        Problem as Problem,
        ProviderError as ProviderError,
        QuotaError as QuotaError,
        RateLimitError as RateLimitError,
        RefusalError as RefusalError,
        RequestTimeoutError as RequestTimeoutError,
        RouteNotFoundError as RouteNotFoundError,
        ServerError as ServerError,
        StreamInterruptedError as StreamInterruptedError,
        UnsupportedError as UnsupportedError,
    )
    from llmrouter.explain import (
        Plan as Plan,
        PlanRung as PlanRung,
    )
    from llmrouter.observe.log import (
        disable_logging as disable_logging,
        enable_logging as enable_logging,
    )
    from llmrouter.route import (
        Route as Route,
    )
    from llmrouter.router import (
        AsyncRouter as AsyncRouter,
        Router as Router,
    )
    from llmrouter.secret import (
        Secret as Secret,
    )
    from llmrouter.streams import (
        AsyncStream as AsyncStream,
        Stream as Stream,
    )
    from llmrouter.tools import (
        call_tool as call_tool,
        call_tool_async as call_tool_async,
    )
    from llmrouter.types import (
        Attempt as Attempt,
        Done as Done,
        Embeddings as Embeddings,
        Event as Event,
        Message as Message,
        Reasoning as Reasoning,
        Response as Response,
        Restart as Restart,
        TokenCount as TokenCount,
        Tool as Tool,
        ToolCall as ToolCall,
        ToolCallDelta as ToolCallDelta,
        Trim as Trim,
        Usage as Usage,
    )

_HOME = {
    "APIConnectionError": "llmrouter.errors",
    "AllTargetsFailedError": "llmrouter.errors",
    "AnswerRejectedError": "llmrouter.errors",
    "AsyncRouter": "llmrouter.router",
    "AsyncStream": "llmrouter.streams",
    "Attempt": "llmrouter.types",
    "AuthenticationError": "llmrouter.errors",
    "BadRequestError": "llmrouter.errors",
    "BudgetExceededError": "llmrouter.errors",
    "CacheMissError": "llmrouter.errors",
    "CircuitOpenError": "llmrouter.errors",
    "ConfigError": "llmrouter.errors",
    "ContentFilterError": "llmrouter.errors",
    "ContextLengthError": "llmrouter.errors",
    "DeadlineExceededError": "llmrouter.errors",
    "Document": "llmrouter.content",
    "Done": "llmrouter.types",
    "Embeddings": "llmrouter.types",
    "Event": "llmrouter.types",
    "Image": "llmrouter.content",
    "InvalidRequestError": "llmrouter.errors",
    "LLMRouterError": "llmrouter.errors",
    "LengthError": "llmrouter.errors",
    "LimitExceededError": "llmrouter.errors",
    "MalformedResponseError": "llmrouter.errors",
    "Message": "llmrouter.types",
    "ModelInfo": "llmrouter.catalogue",
    "ModelNotFoundError": "llmrouter.errors",
    "OutputInvalidError": "llmrouter.errors",
    "OverloadedError": "llmrouter.errors",
    "PermissionDeniedError": "llmrouter.errors",
    "Plan": "llmrouter.explain",
    "PlanRung": "llmrouter.explain",
    "Problem": "llmrouter.errors",
    "ProviderError": "llmrouter.errors",
    "QuotaError": "llmrouter.errors",
    "RateLimitError": "llmrouter.errors",
    "Reasoning": "llmrouter.types",
    "RefusalError": "llmrouter.errors",
    "RequestTimeoutError": "llmrouter.errors",
    "Response": "llmrouter.types",
    "Restart": "llmrouter.types",
    "Route": "llmrouter.route",
    "RouteNotFoundError": "llmrouter.errors",
    "Router": "llmrouter.router",
    "RoutesConfig": "llmrouter.config.models",
    "Secret": "llmrouter.secret",
    "ServerError": "llmrouter.errors",
    "Stream": "llmrouter.streams",
    "StreamInterruptedError": "llmrouter.errors",
    "Text": "llmrouter.content",
    "TokenCount": "llmrouter.types",
    "Tool": "llmrouter.types",
    "ToolCall": "llmrouter.types",
    "ToolCallDelta": "llmrouter.types",
    "Trim": "llmrouter.types",
    "UnsupportedError": "llmrouter.errors",
    "Usage": "llmrouter.types",
    "call_tool": "llmrouter.tools",
    "call_tool_async": "llmrouter.tools",
    "disable_logging": "llmrouter.observe.log",
    "enable_logging": "llmrouter.observe.log",
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
    "call_tool",
    "call_tool_async",
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
