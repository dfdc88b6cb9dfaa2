"""Warnings as a list."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loguru import logger


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What llmrouter warns of while the test runs."""
    lines: list[str] = []
    logger.enable("llmrouter")
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    yield lines
    logger.remove(sink)
    logger.disable("llmrouter")
