"""Rows of text in columns, as a terminal or an error message shows them."""

from __future__ import annotations

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return one line for each row, its cells under those of the row before; no line ends in white space."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows in columns, the first one underlined as their header."""
    header, *lines = columns(rows)
    rule = ["-" * max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return "\n".join([header, "  ".join(rule), *lines])
