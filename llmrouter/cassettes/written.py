"""The ways in which a secret may be written: quoted for a URL, for JSON or for HTML, once and again, or in base64."""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Iterable, Iterator
from html.entities import codepoint2name
from typing import Final

_AS_IT_IS: Final = frozenset(string.ascii_letters + string.digits + "-._~")  # nobody quotes these
_CONTROLS: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}  # as JSON writes them after a backslash
_RUN: Final = re.compile(r"\\+|[^\\]", re.DOTALL)
_SHORTEST_BASE64: Final = 10  # characters; they hold seven bytes


def any_way(secrets: Iterable[str]) -> re.Pattern[str]:
    """Return what finds any of the secrets, however it is written; the longest first, as it may contain another."""
    ordered = sorted(secrets, key=len, reverse=True)
    ways = (way for secret in ordered for way in (_quoted(secret), *_base64(secret)))
    return re.compile("|".join(dict.fromkeys(ways)))


def _quoted(secret: str) -> str:
    """Return the expression for a secret of which any character may be quoted."""
    return "".join(map(_character, _RUN.findall(secret)))


def _character(written: str) -> str:
    """Return the expression for a character, or for a run of backslashes, which every quoting doubles."""
    if written in _AS_IT_IS:
        return re.escape(written)
    character, times = written[0], len(written)
    plain = rf"\\{{{times},}}" if character == "\\" else rf"\\*{re.escape(character)}"
    quoted = "|".join((*_percent(character), *_json(character), *_html(character)))
    return f"(?:(?i:{quoted}){{{times}}}|{plain})"  # `%25` begins with `%`


def _percent(character: str) -> Iterator[str]:
    yield "".join(f"%(?:25)*{byte:02x}" for byte in character.encode("utf-8", "replace"))
    if character == " ":
        yield r"\+"


def _json(character: str) -> Iterator[str]:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    yield "".join(rf"\\+u{units[at : at + 4]}" for at in range(0, len(units), 4))
    if character in _CONTROLS:
        yield rf"\\+{_CONTROLS[character]}"


def _html(character: str) -> Iterator[str]:
    number = ord(character)
    names = [f"#0*{number}", f"#x0*{number:x}", "apos" if character == "'" else codepoint2name.get(number)]
    yield rf"&(?:amp;)*(?:{'|'.join(name for name in names if name)});"


def _base64(secret: str) -> Iterator[str]:
    """Give the expressions for a secret in base64, wherever in the encoded text it begins.

    The characters at its edges depend on its neighbours; they are left out.
    """
    bare = secret.encode("utf-8", "replace")
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + bare).decode()
        certain = encoded[(offset * 8 + 5) // 6 : (offset + len(bare)) * 8 // 6]
        if len(certain) >= _SHORTEST_BASE64:
            yield "".join(_BASE64.get(character, character) for character in certain)


_BASE64: Final = {"+": f"(?:{_character('+')}|-)", "/": f"(?:{_character('/')}|_)"}  # the other alphabet is for URLs
