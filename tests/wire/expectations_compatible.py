"""What the recorded exchanges of Azure and of the servers that speak OpenAI's protocol say, read by hand."""

from __future__ import annotations

from typing import Final

from llmrouter.errors import AuthenticationError, BadRequestError, ContentFilterError, RateLimitError, ServerError
from llmrouter.types import Usage
from tests.wire.rows import Failed, Row, Said, Skipped

ROWS: Final[tuple[Row, ...]] = (
    Said(
        "azure/content-filter-finish#0", "gpt-35-turbo", "content_filter", "", 0, Usage(15, 19), finish="content_filter"
    ),
    Said(
        "azure/content-filter-finish#1",
        "gpt-4.1-mini-2025-04-14",
        "stop",
        "Why did the developer bring Open",
        107,
        Usage(16, 24),
    ),
    Said(
        "azure/content-filter-finish#2",
        "gpt-4.1-mini-2025-04-14",
        "stop",
        "Why did the developer break up w",
        98,
        Usage(16, 19),
    ),
    Said(
        "azure/content-filter-finish#3",
        "gpt-4.1-mini-2025-04-14",
        "stop",
        "Why did the developer bring Open",
        111,
        Usage(16, 21),
    ),
    Failed("azure/err-400-content-filter#0", ContentFilterError, "content_filter"),
    Failed("azure/err-401#0", AuthenticationError, "401"),
    Said("azure/responses#0", "gpt-5.6-luna", "completed", "OK", 2, Usage(12, 5), private=True),
    Said(
        "deepseek/responses-v4#0",
        "deepseek-v4-flash",
        "completed",
        "",
        0,
        Usage(120, 81, 256, reasoning_tokens=21),
        finish="tool_calls",
        calls=(("call_00_fHeIT46fj9tK0YhyHu7Q9878", "final_result", '{"city": "Tokyo", "country": "Japan"}'),),
        thinks="The user asked for the capital o",
        thought=92,
        private=True,
    ),
    Failed("groq/err-429-retry-after-then-ok#0", RateLimitError, "rate_limit_exceeded", retry_after=1),
    Said(
        "groq/err-429-retry-after-then-ok#1",
        "meta-llama/llama-4-maverick-17b-128e-instruct",
        "tool_calls",
        "",
        0,
        Usage(708, 20),
        finish="tool_calls",
        calls=(("959g6hhdw", "get_file", "{}"),),
    ),
    Said("groq/stream-headers#0", "llama3-8b-8192", "stop", "A joke about OpenTelemetry!\n\nWhy", 277, Usage(18, 73)),
    Failed("groq/tool-use-failed-400#0", BadRequestError, "tool_use_failed"),
    Failed("mistral/err-429#0", RateLimitError, "1300"),
    Said("mistral/stream#0", "mistral-small-latest", "stop", "1, 2, 3", 7, Usage(22, 8)),
    Said(
        "ollama/stream-openai-compat#0",
        "gpt-oss:120b",
        "stop",
        "1  \n2  \n3",
        9,
        Usage(74, 53),
        thinks='The task: "Count from 1 to 3". S',
        thought=119,
    ),
    Failed("openrouter/err-429-upstream#0", RateLimitError, "429"),
    Failed("openrouter/err-429-upstream#1", RateLimitError, "429"),
    Failed("openrouter/err-429-upstream#2", RateLimitError, "429"),
    Said(
        "openrouter/tools-reasoning-details#0",
        "anthropic/claude-haiku-4.5",
        "tool_calls",
        "",
        0,
        Usage(626, 113, reasoning_tokens=61),
        finish="tool_calls",
        calls=(("toolu_bdrk_01ADw53o3uvrGvccVaVYUX4G", "reasoning_weather", '{"city": "Berlin"}'),),
        thinks="The user is asking for the weath",
        thought=237,
        private=True,
    ),
    Said(
        "openrouter/tools-reasoning-details#1",
        "anthropic/claude-haiku-4.5",
        "stop",
        "The current weather in Berlin is",
        97,
        Usage(762, 34),
    ),
    Said(
        "openrouter/tools-reasoning-details#2",
        "anthropic/claude-haiku-4.5",
        "stop",
        "Yes, bring an umbrella. The clou",
        103,
        Usage(751, 100, reasoning_tokens=73),
        thinks="The user is asking if they shoul",
        thought=286,
        private=True,
    ),
    Said(
        "other/huggingface-together-500#1",
        "meta-llama/Llama-4-Scout-17B-16E-Instruct",
        "tool_calls",
        "",
        0,
        Usage(616, 7),
        finish="tool_calls",
        calls=(("call_f7631c2901964a6db675853a", "get_weather", '{"city": "Paris"}'),),
    ),
    Failed("other/huggingface-together-500#2", ServerError, "server_error", retry_after=1),
    Said(
        "other/together-plain#0",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "stop",
        "To find the answer, add 4200 and",
        54,
        Usage(44, 23),
    ),
    Skipped("ollama/native-stream-ndjson#0", "Ollama's own protocol; we speak the compatible one"),
    Skipped(
        "other/huggingface-together-500#0", "asks the hub which provider has the model; its router is asked instead"
    ),
)
