"""What is known beforehand about how a model counts: whether o200k_base is its own encoding, and if not, how far off.

OpenAI: https://github.com/openai/tiktoken/blob/main/tiktoken/model.py names the models of o200k_base; gpt-6 and later
are taken to have kept it. The priors of all others are our own judgement, set on the high side so that a budget holds
before anything has been learned; the first reported usages replace them (see factors.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

Maker: TypeAlias = Literal["openai", "anthropic", "google", "other"]


@dataclass(frozen=True, slots=True)
class Family:
    """How a group of models counts.

    `exact`: o200k_base is the model's encoding. `prior`: its tokens per o200k_base token, until learned. `priming`:
    tokens that open the reply. `tools`, `schema`: tokens that using tools or a schema adds by itself.
    """

    maker: Maker
    exact: bool = False
    prior: float = 1.15
    priming: int = 3
    tools: int = 0
    schema: int = 24


# First match wins; searched in the model's name after its last slash, in lower case.
_FAMILIES: Final[tuple[tuple[re.Pattern[str], Family], ...]] = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        # Seen in reported usage: from gpt-5 on the reply is primed with two tokens, before that with three.
        (r"^(ft:)?gpt-([5-9]|\d{2,})(?!\d)", Family("openai", exact=True, prior=1.0, priming=2)),
        (r"^(ft:)?(chatgpt-4o|gpt-4o|gpt-4\.[15])", Family("openai", exact=True, prior=1.0)),
        (r"^(ft:)?o[134](-|$)", Family("openai", exact=True, prior=1.0)),
        # Its text is o200k; the harmony template around it adds a system block of its own (70 tokens were seen).
        (r"^gpt-oss", Family("openai", prior=1.0, priming=70)),
        # cl100k_base (gpt-4, gpt-3.5, text-embedding-*): a little larger on English and code, far larger on others.
        (r"^(ft:)?(gpt-4|gpt-3|gpt-35|text-embedding|davinci|babbage)", Family("openai", prior=1.1)),
        # Anthropic's migration guide for Opus 4.7 announces a tokenizer with up to 1.35 times the tokens. Its tool-use
        # guide lists 300 to 500 tokens of system prompt that tools bring along; a schema was seen to add 200.
        (
            r"claude-(opus-4[-.][7-9]|[a-z]+-([5-9]|\d{2})([-.@]|$))",
            Family("anthropic", prior=1.6, tools=450, schema=200),
        ),
        (r"claude", Family("anthropic", prior=1.2, tools=400, schema=200)),
        (r"gemini|gemma", Family("google", prior=1.05)),
    )
)
_OTHER: Final = Family("other")


@lru_cache(maxsize=1024)
def family_of(target: str) -> Family:
    """Return the family of `provider/model`, judged by the model's name alone: aliases and deployments are `other`."""
    model = target.rpartition("/")[2].lower()
    return next((family for pattern, family in _FAMILIES if pattern.search(model)), _OTHER)
