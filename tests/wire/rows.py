"""One row per recorded exchange: what we read in it ourselves.

`at` names it: the case, `#`, and its place in the case from 0. Of texts a row has the beginning and the length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from llmrouter.errors import ProviderError
from llmrouter.providers.anthropic_messages import MessagesCodec
from llmrouter.providers.base import Codec
from llmrouter.providers.google_genai import GoogleCodec
from llmrouter.providers.openai_chat import ChatCodec
from llmrouter.providers.openai_dialect import OPENAI
from llmrouter.providers.openai_responses import ResponsesCodec
from llmrouter.providers.presets import PRESETS
from llmrouter.types import FinishReason, Usage
from tests.servers.wire import Exchange, load

_MESSAGES = ("anthropic/", "bedrock/")
_GEMINI = ("gemini/", "vertex/")
_COMPATIBLE = {"other": "together"}  # folders that are not named like the preset


@dataclass(frozen=True, slots=True)
class Said:
    """An answer.

    `word` is the provider's own finish reason; `usage` counts uncached, output, cache read and cache write tokens;
    `calls` are tool calls by id (None: we make one up), name and arguments (`...`: only how they begin); `private`
    says whether something of it must go back to this provider verbatim.
    """

    at: str
    model: str
    word: str
    begins: str
    length: int
    usage: Usage | None
    finish: FinishReason = "stop"
    calls: tuple[tuple[str | None, str, str], ...] = ()
    thinks: str = ""
    thought: int = 0
    private: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A failure: its class, the provider's code, the seconds it asks to wait, the tokens used and allowed it names."""

    at: str
    error: type[ProviderError]
    code: str | None
    retry_after: float | None = None
    tokens: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Embedded:
    """An answer with vectors: how many numbers the one vector has, how it begins, and the tokens reported (0: none)."""

    at: str
    numbers: int
    begins: tuple[float, float]
    tokens: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """An exchange that we never make, and why."""

    at: str
    why: str


Row: TypeAlias = Said | Failed | Embedded | Skipped


def exchange_of(row: Row) -> Exchange:
    """Return the recorded exchange of a row; skips the test when the recordings are absent."""
    case, _, place = row.at.partition("#")
    return load(case)[int(place)]


def preset_of(case: str) -> str:
    """Return the preset that a recording's server speaks by, empty for OpenAI, Azure, Anthropic and Google."""
    folder = case.partition("/")[0]
    name = _COMPATIBLE.get(folder, folder)
    return name if name in PRESETS else ""


def codec_of(exchange: Exchange) -> Codec:
    """Return the codec that reads the exchange; the origin of its private parts is `wire`."""
    case = exchange.case
    if case.startswith(_MESSAGES):
        return MessagesCodec("wire")
    if case.startswith(_GEMINI):
        return GoogleCodec("wire")
    preset = preset_of(case)
    dialect = PRESETS[preset].dialect if preset else OPENAI
    return ResponsesCodec("wire", dialect) if exchange.url.endswith("/responses") else ChatCodec("wire", dialect)


def is_stream(exchange: Exchange) -> bool:
    """Tell whether the answer is a stream: server-sent events, or Gemini's array."""
    return exchange.is_stream or "streamGenerateContent" in exchange.url
