"""What the recorded exchanges of OpenAI, Azure and the servers that speak their protocol say, row by row."""

from __future__ import annotations

from dataclasses import dataclass

from llmrouter.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    ModelNotFoundError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ServerError,
)
from llmrouter.types import FinishReason, Usage


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: how its text begins, its usage (`uncached, output, cache read, cache write`), and the rest of it."""

    case: str
    exchange: int  # its place in the case, from 0
    begins: str
    usage: Usage | None
    finish: FinishReason = "stop"
    calls: tuple[tuple[str, str], ...] = ()  # name and arguments as written
    reasoning: str | None = None  # how it begins
    private: bool = False  # whether something must go back to this provider verbatim


@dataclass(frozen=True, slots=True)
class Failed:
    """A failure: its class, the provider's code, and the seconds it asked to wait."""

    case: str
    exchange: int
    error: type[ProviderError]
    code: str | None
    retry_after: float | None = None


ROWS: tuple[Said | Failed, ...] = (
    Said("azure/content-filter-finish", 0, "", Usage(15, 19), "content_filter"),
    Said("azure/content-filter-finish", 1, "Why did the developer bring OpenTelemetr", Usage(16, 24)),
    Said("azure/content-filter-finish", 2, "Why did the developer break up with Open", Usage(16, 19)),
    Said("azure/content-filter-finish", 3, "Why did the developer bring OpenTelemetr", Usage(16, 21)),
    Failed("azure/err-400-content-filter", 0, ContentFilterError, "content_filter"),
    Failed("azure/err-401", 0, AuthenticationError, "401"),
    Said("azure/responses", 0, "OK", Usage(12, 5), private=True),
    Said(
        "deepseek/responses-v4",
        0,
        "",
        Usage(120, 81, 256, 0, reasoning_tokens=21),
        "tool_calls",
        calls=(("final_result", '{"city": "Tokyo", "country": "Japan"}'),),
        reasoning="The user asked for the capital of Japan,",
        private=True,
    ),
    Failed("groq/err-429-retry-after-then-ok", 0, RateLimitError, "rate_limit_exceeded", retry_after=1.0),
    Said("groq/err-429-retry-after-then-ok", 1, "", Usage(708, 20), "tool_calls", calls=(("get_file", "{}"),)),
    Said("groq/stream-headers", 0, "A joke about OpenTelemetry!\n\nWhy did the", Usage(18, 73)),
    Failed("groq/tool-use-failed-400", 0, BadRequestError, "tool_use_failed"),
    Said(
        "groq/tool-use-failed-400",
        1,
        "",
        Usage(254, 174, reasoning_tokens=147),
        "tool_calls",
        calls=(("final_result", '{"response":"yes"}'),),
        reasoning="The user wants me to fix the errors. The",
    ),
    Failed("mistral/err-429", 0, RateLimitError, "1300"),
    Said("mistral/stream", 0, "1, 2, 3", Usage(22, 8)),
    Said(
        "ollama/stream-openai-compat",
        0,
        "1  \n2  \n3",
        Usage(74, 53),
        reasoning='The task: "Count from 1 to 3". Simple. L',
    ),
    Said("openai/chat-cached-tokens-gpt56", 0, "OK", Usage(8, 4, 0, 4012)),
    Said("openai/chat-cached-tokens-gpt56", 1, "OK", Usage(8, 4, 4012)),
    Failed("openai/chat-err-400-unsupported-param", 0, BadRequestError, "unsupported_parameter"),
    Said("openai/chat-err-400-unsupported-param", 1, "4242", Usage(15, 11)),
    Failed("openai/chat-err-401", 0, AuthenticationError, "invalid_api_key"),
    Failed("openai/chat-err-404-model", 0, ModelNotFoundError, "model_not_found"),
    Failed("openai/chat-err-404-model", 1, ModelNotFoundError, "model_not_found"),
    Failed("openai/chat-err-429-request-too-large", 0, QuotaError, "rate_limit_exceeded"),
    Said("openai/chat-finish-length", 0, "Certainly! Here is a list of all 50 U.S.", Usage(14, 50), "length"),
    Said("openai/chat-json-schema", 0, '{"joke":"Why did the developer bring Ope', Usage(83, 32)),
    Said("openai/chat-json-schema", 1, '{"joke":"Why did the developer bring Ope', Usage(83, 32)),
    Said("openai/chat-json-schema", 2, '{"joke":"Why did the developer bring Ope', Usage(83, 34)),
    Said(
        "openai/chat-moderation-block-policy",
        0,
        "I'm really sorry you're feeling this way",
        Usage(12, 1880, reasoning_tokens=1536),
    ),
    Said("openai/chat-plain", 0, "Why did the opentelemetry project break ", Usage(15, 26)),
    Said("openai/chat-plain", 1, "Why did the programmer break up with Ope", Usage(15, 21)),
    Said(
        "openai/chat-reasoning-effort",
        0,
        "3\n\nThere are three 'r' letters in \"straw",
        Usage(11, 228, reasoning_tokens=192),
    ),
    Said("openai/chat-reasoning-effort", 1, "3", Usage(11, 202, reasoning_tokens=192)),
    Said("openai/chat-reasoning-effort", 2, "3", Usage(11, 138, reasoning_tokens=128)),
    Said("openai/chat-refusal", 0, "I'm very sorry, but I can't assist with ", Usage(65, 13), "refusal"),
    Said("openai/chat-refusal", 1, "I'm very sorry, but I can't assist with ", Usage(65, 13), "refusal"),
    Said("openai/chat-refusal", 2, "I'm very sorry, but I can't assist with ", Usage(65, 13), "refusal"),
    Said("openai/chat-stream-include-usage", 0, "1, 2, 3, 4, 5.", Usage(14, 14)),
    Said("openai/chat-stream-no-usage", 0, "Why did the opentelemetry developer go b", None),
    Said("openai/chat-stream-no-usage", 1, "1, 2, 3, 4, 5", None),
    Said("openai/chat-stream-no-usage", 2, "1, 2, 3, 4, 5", None),
    Said(
        "openai/chat-tool-call-headers",
        0,
        "",
        Usage(75, 53),
        "tool_calls",
        calls=(
            ("secret_retrieval_tool", '{"password": "mellon"}'),
            ("secret_retrieval_tool", '{"password": "radiance"}'),
        ),
    ),
    Said("openai/chat-tool-call-headers", 1, "The secrets associated with the password", Usage(149, 32)),
    Said(
        "openai/chat-tool-call-headers",
        2,
        "",
        Usage(75, 53),
        "tool_calls",
        calls=(
            ("secret_retrieval_tool", '{"password": "mellon"}'),
            ("secret_retrieval_tool", '{"password": "radiance"}'),
        ),
    ),
    Said("openai/chat-tool-call-headers", 3, "Here are the secrets associated with the", Usage(149, 36)),
    Said(
        "openai/chat-tool-call-headers",
        4,
        "",
        Usage(75, 53),
        "tool_calls",
        calls=(
            ("secret_retrieval_tool", '{"password": "mellon"}'),
            ("secret_retrieval_tool", '{"password": "radiance"}'),
        ),
    ),
    Said("openai/chat-tool-call-headers", 5, "Here are the secrets associated with the", Usage(149, 31)),
    Said("openai/chat-tool-call", 0, "", Usage(48, 14), "tool_calls", calls=(("get_weather", '{"city":"Paris"}'),)),
    Said("openai/chat-tool-call", 1, "The weather in Paris is currently sunny.", Usage(74, 9)),
    Said("openai/chat-tool-call", 2, "OK", Usage(65, 1)),
    Said("openai/chat-tool-call", 3, "OK", Usage(65, 1)),
    Said(
        "openai/chat-tool-stream-headers",
        0,
        "",
        Usage(75, 53),
        "tool_calls",
        calls=(
            ("secret_retrieval_tool", '{"password": "mellon"}'),
            ("secret_retrieval_tool", '{"password": "radiance"}'),
        ),
    ),
    Said("openai/chat-tool-stream-headers", 1, "The secrets associated with the password", Usage(149, 28)),
    Said(
        "openai/chat-tool-stream-headers",
        2,
        "",
        Usage(75, 53),
        "tool_calls",
        calls=(
            ("secret_retrieval_tool", '{"password": "mellon"}'),
            ("secret_retrieval_tool", '{"password": "radiance"}'),
        ),
    ),
    Said("openai/chat-tool-stream-headers", 3, "The secrets associated with the password", Usage(149, 30)),
    Said(
        "openai/chat-tool-stream-headers",
        4,
        "",
        Usage(75, 53),
        "tool_calls",
        calls=(
            ("secret_retrieval_tool", '{"password": "mellon"}'),
            ("secret_retrieval_tool", '{"password": "radiance"}'),
        ),
    ),
    Said("openai/chat-tool-stream-headers", 5, "The secrets associated with the password", Usage(149, 35)),
    Said(
        "openai/chat-tool-stream-usage",
        0,
        "",
        Usage(53, 15),
        "tool_calls",
        calls=(("get_capital", '{"country":"UK"}'),),
    ),
    Said("openai/chat-tool-stream-usage", 1, "The capital of the UK is London.", Usage(78, 9)),
    Said("openai/chat-vision-bad-url-400", 0, "This image depicts a series of smooth, u", Usage(438, 16), "length"),
    Said("openai/chat-vision-bad-url-400", 1, "The image shows a series of undulating f", Usage(438, 16), "length"),
    Failed("openai/chat-vision-bad-url-400", 2, BadRequestError, "invalid_image_url"),
    Said("openai/chat-vision-base64", 0, "The image is the Wikipedia globe logo, m", Usage(269, 20)),
    Said(
        "openai/resp-encrypted-reasoning",
        0,
        "",
        Usage(94, 85, reasoning_tokens=63),
        "tool_calls",
        calls=(("lookup_population", '{"country":"Pundora"}'),),
        private=True,
    ),
    Said(
        "openai/resp-encrypted-reasoning",
        1,
        "",
        Usage(192, 21),
        "tool_calls",
        calls=(("can_have_dragons", '{"population":123124}'),),
    ),
    Said(
        "openai/resp-encrypted-reasoning", 2, "Pundora has a population of 123,124 — an", Usage(227, 24), private=True
    ),
    Failed("openai/resp-err-400-context-length", 0, ContextLengthError, "context_length_exceeded"),
    Failed("openai/resp-err-400-model-not-found", 0, ModelNotFoundError, "model_not_found"),
    Failed("openai/resp-err-401", 0, AuthenticationError, "invalid_api_key"),
    Failed("openai/resp-err-429-insufficient-quota", 3, QuotaError, "insufficient_quota"),
    Failed("openai/resp-err-429-insufficient-quota", 4, QuotaError, "insufficient_quota"),
    Failed("openai/resp-err-429-insufficient-quota", 5, QuotaError, "insufficient_quota"),
    Said("openai/resp-incomplete", 0, "Sure! Here is a list of all 50 U.S. stat", Usage(14, 50), "length"),
    Said("openai/resp-plain-gpt56", 0, "Paris", Usage(18, 5), private=True),
    Said("openai/resp-stream-gpt5nano", 0, "1, 2, 3", Usage(13, 284, reasoning_tokens=256), private=True),
    Said(
        "openai/resp-stream-phase-tools",
        0,
        "I",
        Usage(63, 69, reasoning_tokens=26),
        "tool_calls",
        calls=(("get_capital", '{"country":"PotatoLand"}'),),
        private=True,
    ),
    Said("openai/resp-stream-phase-tools", 1, "The capital of PotatoLand is **Potato Ci", Usage(147, 16), private=True),
    Said("openai/resp-stream-stockvcr", 0, "3", Usage(32, 647, reasoning_tokens=640)),
    Failed("openrouter/err-429-upstream", 0, RateLimitError, "429"),
    Failed("openrouter/err-429-upstream", 1, RateLimitError, "429"),
    Failed("openrouter/err-429-upstream", 2, RateLimitError, "429"),
    Said("openrouter/stream-usage-cost", 0, "https://github.com/pydantic/pydantic-ai ", Usage(8174, 30)),
    Said(
        "openrouter/tools-reasoning-details",
        0,
        "",
        Usage(626, 113, reasoning_tokens=61),
        "tool_calls",
        calls=(("reasoning_weather", '{"city": "Berlin"}'),),
        reasoning="The user is asking for the weather in Be",
        private=True,
    ),
    Said("openrouter/tools-reasoning-details", 1, "The current weather in Berlin is **15°C ", Usage(762, 34)),
    Said(
        "openrouter/tools-reasoning-details",
        2,
        "Yes, bring an umbrella. The cloudy condi",
        Usage(751, 100, reasoning_tokens=73),
        reasoning="The user is asking if they should bring ",
        private=True,
    ),
    Said(
        "other/huggingface-together-500",
        1,
        "",
        Usage(616, 7),
        "tool_calls",
        calls=(("get_weather", '{"city": "Paris"}'),),
    ),
    Failed("other/huggingface-together-500", 2, ServerError, "server_error", retry_after=1.0),
    Said("other/together-plain", 0, "To find the answer, add 4200 and 42.\n\n42", Usage(44, 23)),
)
