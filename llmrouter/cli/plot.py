"""`llmrouter usage --plot`: bars on the terminal, drawn by plotext (extra `plot`)."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from types import ModuleType
from typing import Final, NamedTuple

from llmrouter.errors import InvalidRequestError

_NARROWEST, _WIDEST = 40, 120  # columns
_FRAME: Final = 4  # rows: the title, two lines, and the scale
_THIN: Final = 0.2  # of the distance between bars; a wide one, rounded to rows, would cover its neighbours
_LONGEST_NAME: Final = 40  # characters; bars need room too


class Bar(NamedTuple):
    """One group: its name, how large it is, and that as text."""

    name: str
    size: int
    text: str


def drawn(title: str, bars: Sequence[Bar], least: str, most: str) -> str:
    """Return a bar for each group, the first on top, under a title; the scale goes from `least` to `most`.

    Raises InvalidRequestError where plotext is not installed.
    """
    plotext = _plotext()
    plotext.terminal.limit(False, False)  # else bars that the window has no room for would be left out
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.title(title)
    figure.plot_size(_columns(), len(bars) + _FRAME)
    names, texts = [_shortened(bar.name) for bar in bars], [bar.text for bar in bars]
    room = max(map(len, texts))
    labels = [f"{name}  {text:>{room}}" for name, text in zip(names, texts, strict=True)]
    longest = max(bar.size for bar in bars) or 1
    sizes = [bar.size for bar in reversed(bars)]  # the lowest bar is plotext's first
    figure.draw(figure.bar(labels[::-1], sizes, orientation="horizontal", width=_THIN))
    scale = figure.ruler("x")
    scale.lim(0, longest)
    scale.ticks([0, longest], [least, most])
    plain: str = plotext.uncolorize(figure.build().string())
    return "\n".join(line.rstrip() for line in plain.splitlines() if line.strip()) + "\n"


def _plotext() -> ModuleType:
    try:
        import plotext
    except ModuleNotFoundError:
        raise InvalidRequestError("--plot needs plotext: pip install 'llmrouter[plot]'") from None
    found: ModuleType = plotext
    return found


def _columns() -> int:
    return min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
