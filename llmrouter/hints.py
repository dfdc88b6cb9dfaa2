"""What somebody may have meant who misspelled a word."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_LIKENESS: Final = 0.7  # of 1; with difflib's own 0.6, whoever writes `total` may mean `tool`


def nearest(word: object, known: Iterable[str], most: int = 1) -> list[str]:
    """Return the words of `known` that `word` seems to be, whatever its case: nearest first, `most` at most."""
    from difflib import get_close_matches  # which most programs never need

    spelled = {each.lower(): each for each in sorted(known)}
    return [spelled[each] for each in get_close_matches(str(word).lower(), spelled, n=most, cutoff=_LIKENESS)]


def did_you_mean(word: object, known: Iterable[str], most: int = 1) -> str:
    """Return `did you mean 'a' or 'b'?`, empty where nothing is near."""
    return question(nearest(word, known, most))


def question(near: Iterable[str]) -> str:
    """Return `did you mean 'a' or 'b'?`, empty for nothing."""
    named = " or ".join(map(repr, near))
    return f"did you mean {named}?" if named else ""


def hint(word: object, known: Iterable[str]) -> str:
    """Return `; did you mean 'a'?`, to stand behind what is wrong; empty where nothing is near."""
    found = did_you_mean(word, known)
    return found and f"; {found}"
