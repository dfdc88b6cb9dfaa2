"""Which recorded request a new one is, and what to say when it is none of them.

Two requests are the same when method, path and JSON body are; the order of keys and white space do not count. Host and
query do not count either: what was recorded from a proxy or an emulator replays for the provider itself.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar
from urllib.parse import urlsplit

from llmrouter.cassettes.scrub import REDACTED
from llmrouter.pipeline.playback import Asked, UnsentError

T = TypeVar("T")

_CONTEXT: Final = 2  # lines around a difference
_MOST_LINES: Final = 40
_WIDEST: Final = 160  # characters of a line of the difference
_QUOTE: Final = re.compile(r'(?<!\\)"')  # where a string of JSON ends
_LOCATION: Final = re.compile(r"/locations/[^/]+")
_NUMBERS: Final = re.compile(r"\[\n\s+(-?[\d.eE+-]+(?:,\n\s+-?[\d.eE+-]+)*)\n\s*\]")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it is compared; `asked` is whose it was, None when no route asked."""

    method: str
    url: str
    body: bytes
    asked: Asked | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two requests the same."""
        # Google's region may come from the environment, which a replay does without.
        return self.method, _LOCATION.sub("/locations/-", urlsplit(self.url).path), canonical(self.body)

    def matches(self, other: Sent) -> bool:
        """Whether `other` is this recorded request; where a secret was taken out of it, any text may stand."""
        if self.key == other.key:
            return True
        return all(_fits(one, two) for one, two in zip(self.key, other.key, strict=True))

    def __str__(self) -> str:
        path = f"{self.method} {urlsplit(self.url).path}"
        if self.asked is None:
            return path
        route = f"route {self.asked.route}, " if self.asked.route != self.asked.target else ""
        return f"{path} ({route}target {self.asked.target})"


@lru_cache(maxsize=512)
def canonical(body: bytes) -> str:
    """Return JSON with sorted keys and no white space; what is no JSON as it is."""
    try:
        return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _fits(recorded: str, asked_now: str) -> bool:
    """Whether a text is the recorded one, with any text of one string where a secret was taken out.

    Each part is looked for behind the one before it: trying every way of dividing the text could take for ever.
    """
    first, *parts = recorded.split(REDACTED)
    if not parts or not asked_now.startswith(first):
        return recorded == asked_now
    end = len(first)
    for part in parts[:-1]:
        start = asked_now.find(part, end + 1)
        if start < 0 or _QUOTE.search(asked_now, end, start):
            return False
        end = start + len(part)
    last = len(asked_now) - len(parts[-1])
    return last > end and asked_now.endswith(parts[-1]) and not _QUOTE.search(asked_now, end, last)


def pretty(body: bytes, *, sort_keys: bool = False) -> str | None:
    """Return JSON as people read it, a list of numbers on one line; None for what is no JSON object or list."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict | list):
        return None
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=sort_keys)
    if any("\ud800" <= each <= "\udfff" for each in text):  # half a character, which no file can hold
        text = json.dumps(value, indent=2, sort_keys=sort_keys)
    return _NUMBERS.sub(lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]", text)


def public(cls: type[T]) -> type[T]:
    """Let a class say that it lives where users import it from."""
    cls.__module__ = "llmrouter.cassettes"
    return cls


@public
class CassetteMissError(UnsentError):
    """A request was made that is not on the cassette. `sent` and `nearest` are texts: what was asked, what is there.

    Not an Exception, and that is its purpose: SDKs wrap those as connection errors, the router would ask the next
    target, and the application under test might handle it like any failed call. It ends the call, and the test.
    """

    def __init__(self, message: str, sent: str = "", nearest: str | None = None) -> None:
        super().__init__(message, sent, nearest)
        self.sent, self.nearest = sent, nearest

    def __str__(self) -> str:
        return str(self.args[0])


def miss(sent: Sent, recorded: Sequence[Sent], path: str, how: str) -> CassetteMissError:
    """Return the error for `sent`, which is none of `recorded`; `how` tells how to record it."""
    first = f"{sent} is not on the cassette {path}"
    if not recorded:
        return CassetteMissError(f"{first}: there is nothing on it\n{how}", str(sent))
    near = nearest(sent, recorded)
    if near.key == sent.key:
        times = sum(each.key == sent.key for each in recorded)
        often = "once" if times == 1 else f"{times} times"
        text = f"{sent} was recorded {often} on the cassette {path}, and is asked once more\n{how}"
        return CassetteMissError(text, str(sent), str(near))
    which = "Its only recorded request" if len(recorded) == 1 else f"The nearest of its {len(recorded)} requests"
    lines = "\n".join(f"  {line}" for line in difference(near, sent))
    return CassetteMissError(f"{first}\n{which} differs:\n{lines}\n{how}", str(sent), str(near))


def nearest(sent: Sent, recorded: Iterable[Sent]) -> Sent:
    """Return the recorded request that is most like `sent`: of the same path if there is one."""

    def likeness(each: Sent) -> tuple[bool, bool, float]:
        one, other = canonical(each.body), canonical(sent.body)
        ratio = difflib.SequenceMatcher(None, one[:4000], other[:4000], autojunk=False).quick_ratio()
        return each.key == sent.key, each.key[:2] == sent.key[:2], ratio

    return max(recorded, key=likeness)


def difference(recorded: Sent, sent: Sent) -> list[str]:
    """Return what differs, line by line, as `diff -u` shows it."""
    before, after = _lines(recorded), _lines(sent)
    found = list(difflib.unified_diff(before, after, "recorded", "asked now", n=_CONTEXT, lineterm=""))
    shown = [line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…" for line in found if not line.startswith("@@")]
    if len(shown) > _MOST_LINES:
        shown[_MOST_LINES:] = [f"… {len(shown) - _MOST_LINES} more lines"]
    return shown


def _lines(sent: Sent) -> list[str]:
    body = pretty(sent.body, sort_keys=True) or sent.body.decode("utf-8", "replace")
    return [f"{sent.method} {urlsplit(sent.url).path}", *body.splitlines()]
