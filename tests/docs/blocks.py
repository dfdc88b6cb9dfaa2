"""The code blocks of a Markdown page, and what the page says about them.

A block is told apart by its language; `title="app.py"` makes it a file. A comment before a block may say
`<!-- not run: why -->`, or `<!-- exit 2 -->` for commands that end with that status.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[2] / "docs"

_BLOCK: Final = re.compile(
    r"(?:^<!-- (?P<remark>.+?) -->\n)?^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its language, its text, the line it begins at, and the file that it is, if its title names one."""

    language: str
    text: str
    line: int
    title: str | None = None
    remark: str = ""

    @property
    def skipped(self) -> bool:
        """Whether the page says that it cannot be run here."""
        return self.remark.startswith("not run: ")

    @property
    def status(self) -> int:
        """The exit status that the page promises."""
        return int(self.remark.removeprefix("exit ")) if self.remark.startswith("exit ") else 0


def blocks_of(page: str, language: str | None = None) -> list[Block]:
    """Return the blocks of a page in order, or those of one language."""
    found = [
        Block(
            match["language"],
            match["text"],
            page[: match.start("text")].count("\n") + 1,
            match["title"],
            match["remark"] or "",
        )
        for match in _BLOCK.finditer(page)
    ]
    return [block for block in found if language in (None, block.language)]
