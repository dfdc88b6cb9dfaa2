"""What `check` says beside the table."""

from __future__ import annotations

from datetime import date, timedelta

from llmrouter.cli.check import OLD_AFTER_DAYS, aged
from llmrouter.model_table import table_info


def test_prices_that_are_old_are_told_of() -> None:
    newest = date.fromisoformat(table_info()[1])
    assert aged(newest + timedelta(days=OLD_AFTER_DAYS)) == ""
    assert "`llmrouter prices update`" in aged(newest + timedelta(days=4000))
