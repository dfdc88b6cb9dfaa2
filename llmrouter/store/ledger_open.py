"""Attempts under way: each gets a row once it has lasted a moment, so that a killed process leaves a trace of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from llmrouter.store.ledger_row import Key, Row

OPEN_AFTER_S: Final = 0.25  # an attempt that is over sooner is written once, and not twice

MakeRow: TypeAlias = Callable[[], Row]


class Openings:
    """What is under way in this process.

    Any thread may put an attempt into `young` when it is sent (monotonic seconds, and what makes its row), and take it
    out when it is over. All else is for one thread at a time.
    """

    def __init__(self) -> None:
        self.young: dict[Key, tuple[float, MakeRow]] = {}  # without a row; the oldest first
        self._told: set[Key] = set()  # with one, in the store or on its way there
        self.rows: dict[Key, Row] = {}  # on their way
        self.over: list[Key] = []  # whose rows are to leave the store

    def __bool__(self) -> bool:
        """Whether there is anything to write, now or soon."""
        return bool(self.young or self.rows or self.over)

    def due(self, *, at_last: bool) -> list[tuple[Key, MakeRow]]:
        """Return what is to have its row now; `at_last`: all, because nobody will ask again."""
        until = time.monotonic() - (0.0 if at_last else OPEN_AFTER_S)
        found = []
        for key, (since, make) in self.young.copy().items():  # a copy: others begin and end meanwhile
            if since > until:
                break
            self.young.pop(key, None)
            found.append((key, make))
        return found

    def told(self, key: Key, row: Row) -> None:
        """Take in the row of an attempt, to be written."""
        self._told.add(key)
        self.rows[key] = row

    def recorded(self, keys: Sequence[Key]) -> None:
        """Let the rows of attempts leave the store together with the coming of those that tell how they ended."""
        for key in keys:
            if key in self._told:
                self._told.discard(key)
                self.rows.pop(key, None)
                self.over.append(key)  # even if it was not written, as far as we know: a commit's answer can be lost

    def written(self) -> None:
        """Forget what is in the store now, or never will be."""
        self.rows.clear()
        self.over.clear()
