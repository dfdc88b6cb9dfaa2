"""Ledgers that do not make a test wait."""

from __future__ import annotations

import pytest

from llmrouter.store import ledger, ledger_sqlite


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try a store that failed again soon, and wait for its locks a moment only."""
    monkeypatch.setattr(ledger, "_REST_S", 0.05)
    monkeypatch.setattr(ledger_sqlite, "_BUSY_S", 0.05)
