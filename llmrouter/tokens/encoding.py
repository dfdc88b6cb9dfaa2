"""The o200k_base encoding, from the vocabulary that this package carries: no network, no download cache.

The vocabulary (`o200k_base.tiktoken.gz`, one `base64 rank` pair a line in the order of the ranks) is the file that
tiktoken downloads. It is read once, on the first count, in about 0.3 s.
"""

from __future__ import annotations

import gzip
from binascii import a2b_base64
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from llmrouter import forks

if TYPE_CHECKING:
    import tiktoken

VOCABULARY: Final = "o200k_base.tiktoken.gz"

# What defines o200k_base beside its ranks: how text is split before merging, and the two special tokens.
_WORD_LOWER: Final = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
_WORD_UPPER: Final = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
_CONTRACTION: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_PATTERN: Final = "|".join(
    (
        _WORD_LOWER + _CONTRACTION,
        _WORD_UPPER + _CONTRACTION,
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
_SPECIAL: Final = {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}

# tiktoken panics on whitespace runs of about a million characters (its regex engine runs out of stack).
_CHUNK: Final = 1 << 16

_lock = forks.lock()
_encoding: tiktoken.Encoding | None = None


def load() -> tiktoken.Encoding:
    """Return the encoding, reading the vocabulary on the first call; threads that come meanwhile wait for it."""
    global _encoding  # noqa: PLW0603 - one vocabulary per process: 200,000 entries
    if _encoding is None:
        with _lock:
            if _encoding is None:
                _encoding = _read()
    return _encoding


def _read() -> tiktoken.Encoding:
    import tiktoken

    packed = files(__package__).joinpath(VOCABULARY).read_bytes()
    lines = gzip.decompress(packed).splitlines()
    ranks = {a2b_base64(line.split()[0]): rank for rank, line in enumerate(lines)}
    return tiktoken.Encoding("o200k_base", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens=_SPECIAL)


def count(text: str) -> int:
    """Return the number of o200k_base tokens of `text`.

    `<|endoftext|>` and its like are counted as the ordinary text they are in a prompt, lone surrogates as U+FFFD.
    Never raises. Exact, save for a token or so per 64 Ki characters that hold no space at all.
    """
    encode = load().encode_ordinary
    if len(text) <= _CHUNK:
        return len(encode(text))
    return sum(len(encode(chunk)) for chunk in _chunks(text))


def _chunks(text: str) -> list[str]:
    chunks, start = [], 0
    while len(text) - start > _CHUNK:
        cut = _cut(text[start : start + _CHUNK])
        chunks.append(text[start : start + cut])
        start += cut
    chunks.append(text[start:])
    return chunks


def _cut(window: str) -> int:
    """Return the last place in `window` that no token can span, or its length when there is none.

    That is before a space that follows something else than whitespace: a space only ever begins a token, and the
    pattern looks at nothing to its left.
    """
    space = window.rfind(" ", 1)
    while space > 0:
        begin = len(window[:space].rstrip())  # where this run of whitespace begins
        if begin > 0 and window[begin] == " ":
            return begin
        space = window.rfind(" ", 1, max(begin, 1))
    return len(window)
