"""Counting tokens, without any network: exact for OpenAI's encodings, estimated and learned for all others."""

from __future__ import annotations

from llmrouter.tokens.counter import Measured, TokenCounter
from llmrouter.tokens.factors import Factors

__all__ = ["Factors", "Measured", "TokenCounter"]
