"""How commands write: answers to stdout, everything else to stderr, tables as the reader can use them."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from llmrouter.columns import columns
from llmrouter.errors import InvalidRequestError

_SECRET_NAME: Final = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
_SHORTEST_SECRET: Final = 8  # shorter values occur in text by chance


class ReaderGoneError(Exception):
    """Whoever read our stdout has stopped reading (`| head -1`)."""


def write(text: str) -> None:
    """Write to stdout, at once. Raises ReaderGoneError when nobody reads it any more, OSError for a full disk."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        _drop_stdout()
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError from None
        raise


def write_json(value: Any) -> None:
    """Write one JSON value; what JSON does not have is written as text."""
    write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def tell(text: str) -> None:
    """Write a line to stderr, with every key of the environment blotted out."""
    sys.stderr.write(redacted(text) + "\n")
    sys.stderr.flush()


def save(text: str, file: Path) -> None:
    """Write `text` to a file, in place of what it held. Raises InvalidRequestError where it cannot be written."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidRequestError(f"cannot write {file}: {(error.strerror or str(error)).lower()}") from None


def redacted(text: str) -> str:
    """Return `text` without the values of environment variables that look like keys."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return text


def _drop_stdout() -> None:
    """Let what is still buffered go nowhere: Python flushes at exit, and would complain once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> None:
    """Write rows under a header: drawn on a terminal that is wide enough, plain columns elsewhere.

    `right` names columns of numbers.
    """
    drawn = sys.stdout.isatty() and _least_width(header, rows) <= shutil.get_terminal_size().columns
    write(_drawn(header, rows, right) if drawn else "\n".join(columns([header, *rows])) + "\n")


def _least_width(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the width below which a drawn table would lose text: every column but the last stays on one line."""
    widths = [max(len(line[column]) for line in (header, *rows)) for column in range(len(header) - 1)]
    return sum(widths) + 3 * len(header) + len(header[-1])


def _drawn(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str]) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in header:  # the last column takes what room is left, and wraps: it holds the prose
        table.add_column(
            name, justify="right" if name in right else "left", overflow="fold", no_wrap=name != header[-1]
        )
    for row in rows:
        table.add_row(*map(Text, row))  # Text: brackets in a note are not markup
    console = Console()
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def usage_as_dict(usage: Any) -> dict[str, Any] | None:
    """Return a `Usage` with its totals, as JSON shows it."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "uncached_tokens": usage.uncached_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "total_tokens": usage.total_tokens,
        "estimated": usage.estimated,
    }


def one_line(text: object) -> str:
    """Return text with every run of white space as one space, for a cell of a table."""
    return " ".join(str(text).split())


def plain_data(value: Any) -> Any:
    """Return `value` as JSON can write it: a pydantic model as its fields, a mapping as a dict."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return dict(value) if isinstance(value, Mapping) else value
