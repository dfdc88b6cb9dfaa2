"""Tables, as wide and as narrow as the terminal is."""

from __future__ import annotations

import io

import pytest

from llmrouter.cli.output import write_table

HEADER = ("route", "target", "usable")
ROWS = (("summarize", "python/llmrouter.offline:summarize", "yes"),)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, columns: int) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    write_table(HEADER, ROWS)
    return terminal.getvalue()


@pytest.mark.parametrize("columns", [*range(10, 90, 7), 55, 56, 57, 120])
def test_no_width_loses_a_word(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    text = shown(monkeypatch, columns)
    assert all(word in text for word in (*HEADER, *ROWS[0]))


def test_a_wide_terminal_has_a_drawn_table(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "─" in shown(monkeypatch, 100)
    assert "─" not in shown(monkeypatch, 40)
