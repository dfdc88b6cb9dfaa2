"""Fixtures for the tests of counting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loguru import logger


@pytest.fixture
def warnings_logged() -> Iterator[list[str]]:
    """The messages logged at WARNING or above during the test."""
    messages: list[str] = []
    logger.enable("llmrouter")
    sink = logger.add(lambda message: messages.append(str(message)), level="WARNING")
    yield messages
    logger.remove(sink)
    logger.disable("llmrouter")
