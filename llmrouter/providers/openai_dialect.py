"""What is known about the servers that speak OpenAI's protocol, and where they deviate from it.

Everything here is data or a pure decision on a model's name, so that a codec asks once and never guesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

ReasoningStyle: TypeAlias = Literal["openai", "effort", "openrouter", "deepseek", "groq", "mistral"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one server's Chat Completions differ from the common core; the defaults fit an unknown compatible server."""

    max_tokens: str = "max_tokens"
    seed: str = "seed"
    reasoning: ReasoningStyle = "effort"
    stream_options: bool = True  # False: usage comes unasked, and the flag is refused
    native_schema: bool = True  # False: only `json_object`; the schema goes into the prompt
    images: bool = True
    document_urls: Literal["", "file_data", "document_url"] = ""  # "": a document by URL cannot be sent
    names: bool = True  # whether messages may carry `name`
    prefix_flag: bool = False  # a final assistant message must be marked as a prefix
    tool_id_pattern: str = "[a-zA-Z0-9_-]+"
    tool_id_length: int = 64
    prompt_cache_key: bool = False
    cache_marks: bool = False  # Anthropic's cache_control on text parts
    echoes: tuple[str, ...] = ("reasoning_content",)  # fields of an answer with tool calls that must come back
    embed_batch: int = 256
    embed_base64: bool = False
    dimensions: str = "dimensions"


OPENAI: Final = Dialect(
    max_tokens="max_completion_tokens",
    reasoning="openai",
    tool_id_length=40,
    prompt_cache_key=True,
    echoes=(),
    embed_batch=2048,
    embed_base64=True,
)
COMPATIBLE: Final = Dialect()

_LOW_TOKENS: Final = 4_096  # a thinking budget up to this is "low" effort
_MEDIUM_TOKENS: Final = 16_384


@lru_cache(maxsize=256)
def is_openai_reasoning_model(model: str) -> bool:
    """Return whether `model` is one of OpenAI's that reason: the o series, and gpt-5 and later."""
    name = _bare(model)
    if name.startswith("o") and name[1:2].isdigit():
        return True
    return _generation(name) >= 5 and not name.startswith("gpt-5-chat")


def _bare(model: str) -> str:
    """Drop a vendor prefix (`openai/…`) and a fine-tune's (`ft:…:org::id`)."""
    return model.rpartition("/")[2].removeprefix("ft:")


def _generation(name: str) -> float:
    """Return 5.1 for gpt-5.1-mini, 0 where the name tells no generation (gpt-oss is no generation either)."""
    if not name.startswith("gpt-"):
        return 0.0
    number = name[4:].partition("-")[0].partition(":")[0]
    try:
        return float(number)
    except ValueError:
        return 4.0 if number.startswith("4") else 0.0  # gpt-4o


def max_tokens_key(dialect: Dialect, model: str) -> str:
    """Return the wire's name of the output limit: OpenAI's reasoning models refuse `max_tokens`, wherever they run."""
    return "max_completion_tokens" if is_openai_reasoning_model(model) else dialect.max_tokens


def effort_of(reasoning: str | int) -> str:
    """Return the effort word for a word or a number of thinking tokens; 0 is none."""
    if isinstance(reasoning, str):
        return reasoning
    if reasoning <= 0:
        return "none"
    if reasoning <= _LOW_TOKENS:
        return "low"
    return "medium" if reasoning <= _MEDIUM_TOKENS else "high"


def openai_effort(model: str, reasoning: str | int) -> str | None:
    """Return OpenAI's `reasoning_effort`, None where the model takes none (gpt-4 and before).

    Not every reasoning model can be told not to: gpt-5 goes down to "minimal", the o series to "low".
    """
    name, effort = _bare(model), effort_of(reasoning)
    generation = _generation(name)
    if 0 < generation < 5 or name.startswith(("gpt-5-chat", "chatgpt-")):
        return None
    if effort != "none":
        return effort
    if generation == 5:
        return "minimal"
    return "low" if name.startswith("o") else "none"


def reasoning_fields(dialect: Dialect, model: str, reasoning: str | int) -> dict[str, Any]:
    """Return the body fields that ask for this much reasoning."""
    style, effort = dialect.reasoning, effort_of(reasoning)
    if style == "openai":
        known = openai_effort(model, reasoning)
        return {"reasoning_effort": known} if known else {}
    if style == "openrouter":
        budget = not isinstance(reasoning, str) and reasoning > 0
        return {"reasoning": {"max_tokens": reasoning} if budget else {"effort": effort}}
    if style == "deepseek":
        return {"thinking": {"type": "disabled" if effort == "none" else "enabled"}}
    if style == "groq" and "qwen" in model:  # Groq's qwen models know only none and default
        return {"reasoning_effort": "none" if effort == "none" else "default"}
    if style == "mistral":  # knows only none and high
        return {"reasoning_effort": "none" if effort == "none" else "high"}
    return {"reasoning_effort": effort}
