"""Warnings as a list, and ledgers that do not make a test wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loguru import logger

from llmrouter.store import ledger, ledger_sqlite


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What llmrouter warns of while the test runs."""
    lines: list[str] = []
    logger.enable("llmrouter")
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    yield lines
    logger.remove(sink)
    logger.disable("llmrouter")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try a store that failed again soon, and wait for its locks a moment only."""
    monkeypatch.setattr(ledger, "_REST_S", 0.05)
    monkeypatch.setattr(ledger_sqlite, "_BUSY_S", 0.05)
