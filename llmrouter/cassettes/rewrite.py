"""Replaces text in a body that came in pieces, and keeps track of where each piece ends."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Final, TypeAlias

Rule: TypeAlias = tuple[re.Pattern[str], str]  # what is replaced, and the template of what stands there instead
_UTF8: Final = getincrementaldecoder("utf-8")


def rewritten(pieces: Sequence[bytes], rules: Iterable[Rule]) -> list[bytes]:
    """Return as many pieces, with everything replaced that a rule finds in the whole body.

    What is replaced may begin in one piece and end in another; it is then all in the first of them. A body that is no
    UTF-8 is searched byte by byte. The time taken grows with the size of the body, and not with that times its pieces.
    """
    texts, encoding = _decoded(pieces)
    text, ends = "".join(texts), list(accumulate(map(len, texts)))
    for pattern, instead in rules:
        text, ends = _replaced(text, ends, pattern, instead)
    return [text[start:end].encode(encoding) for start, end in pairwise([0, *ends])]


def _decoded(pieces: Sequence[bytes]) -> tuple[list[str], str]:
    """Return the pieces as text, and its encoding; a character that is cut in two belongs to the later piece."""
    decoder = _UTF8()
    try:
        texts = [decoder.decode(piece) for piece in pieces]
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return [piece.decode("latin-1") for piece in pieces], "latin-1"
    return texts, "utf-8"


def _replaced(text: str, ends: list[int], pattern: re.Pattern[str], instead: str) -> tuple[str, list[int]]:
    """Return the text as `pattern.sub` does, and where its pieces, which ended at `ends`, end now."""
    kept: list[str] = []
    moved: list[int] = []
    copied = length = passed = 0
    for found in pattern.finditer(text):
        kept += (text[copied : found.start()], found.expand(instead))
        before = length + found.start() - copied
        length = before + len(kept[-1])
        while passed < len(ends) and ends[passed] < found.end():
            inside = ends[passed] > found.start()
            moved.append(length if inside else before - (found.start() - ends[passed]))
            passed += 1
        copied = found.end()
    kept.append(text[copied:])
    moved += (length + end - copied for end in ends[passed:])
    return "".join(kept), moved
