"""Answers without a network: an extractive summary and hashed embeddings, for the last rung of a chain and for tests.

Use them as targets: `python/llmrouter.offline:summarize` and `python/llmrouter.offline:embed`. Both are deterministic
and need nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

DEFAULT_SENTENCES: Final = 4
DEFAULT_MAX_TOKENS: Final = 300
DEFAULT_DIMENSIONS: Final = 256

_CHARACTERS_PER_TOKEN: Final = 4
_FEWEST_WORDS: Final = 6  # a shorter sentence is scored as if it had so many: two frequent words are no summary
_LONGEST_HEADING: Final = 200
_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_CJK_CHARACTER: Final = re.compile(f"[{_CJK}]")
_WORD: Final = re.compile(f"[{_CJK}]+|[^\\W_{_CJK}]+(?:['\u2019][^\\W_{_CJK}]+)*")
_MARK: Final = re.compile(r"(?P<cjk>[。！？｡]+)[」』”’）]*|(?P<mark>[.!?…]+)[\"'”’»)\]]*(?=\s|$)")  # noqa: RUF001 - full width
_BULLET: Final = re.compile(r"\s*(?:[-*+•‣·–—]|\(?\d{1,3}[.)])\s+")  # noqa: RUF001 - dashes that people type
_BLANK_LINE: Final = re.compile(r"\n[ \t]*\n")
_LAST_WORD: Final = re.compile(r"(\S+)$")


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ABBREVIATIONS: Final = _set_of(
    "adj al approx apr aug ave bldg capt cf col cpl dec dept dr ed eds eq est ex feb fig figs gen gov hon jan jul jun "
    "lt maj mar messrs mr mrs ms mt mts nov oct pp prof rep rev sen sep sept sgt st viz vol vols vs bzw ca usw"
)
_MAYBE_LAST: Final = _set_of("a.m bros co corp etc inc jr ltd p.m sr u.k u.s")  # may end a sentence
_BEFORE_NUMBER: Final = _set_of("art ch no nos nr p para sec")
_BACKWARD: Final = _set_of(  # a sentence that opens with one of these leans on the one before it
    "also and another both but he her his however it its or otherwise she so such that their then there therefore "
    "these they this those thus yet"
)
_COMMON: Final = _set_of(
    "a about above after again all almost along already also although always among an and another any are as at away "
    "back be because been before being below between both but by came can cannot could did do does done down during "
    "each either else enough even ever every few for from get gets give given goes got had has have having he her here "
    "hers him his how however i if in instead into is it its itself just keep kind last least less let like likely "
    "little made make makes many may me might mine more most much must my near nearly neither never no nobody nor not "
    "nothing now of off often on once one only onto or other others our ours out over own per perhaps put quite "
    "rather really said same say says see seem seems she should since so some something sometimes soon still such take "
    "than that the their theirs them then there therefore these they thing things this those though three through "
    "thus to together too two under until up upon us use used using very was way we well were what when where whether "
    "which while who whole whom whose why will with within without would yet you your yours"
)


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    own_line: bool  # a bullet or a verse: it keeps its line
    words: tuple[str, ...]  # those that count, in lower case


# ------------------------------------------------------------------------------------------------ summary


def summarize(
    messages: Sequence[Mapping[str, Any]],
    *,
    max_tokens: int | None = None,
    sentences: int = DEFAULT_SENTENCES,
    **params: Any,  # noqa: ARG001 - temperature and the like mean nothing here, and must not be an error
) -> str:
    """Return the most telling sentences of the last user message, unchanged and in their order.

    The method is SumBasic (Nenkova and Vanderwende 2005): a sentence is worth the mean probability of its words; after
    each choice the probabilities of the chosen words are squared, so that the next sentence says something else. Common
    English words do not count, and sentences that lean on the one before them ("This ...") count half.

    At most `sentences` sentences and `max_tokens` tokens (None: 300), at about four characters a token or one Chinese
    or Japanese character. A text that fits already is returned as it is. Only when not even one sentence fits, the
    best one is cut between words and ends in "…". No user message, or an empty one, gives "".
    """
    text = _last_user_text(messages).strip()
    budget = _CHARACTERS_PER_TOKEN * (DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens)
    found = _sentences(text)
    if len(found) <= sentences and _weight(text) <= budget:
        return text
    chosen = _choose(found, sentences, budget)
    if chosen:
        return _joined([found[index] for index in sorted(chosen)])
    best = _choose(found, 1, math.inf)
    return _cut(found[best[0]].text, budget) if best else ""


def _last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content") or ""
            if isinstance(content, str):
                return content
            return "\n".join(part["text"] for part in content if part.get("type") == "text")
    return ""


def _choose(found: Sequence[_Sentence], most: int, budget: float) -> list[int]:
    """Return the indexes of the chosen sentences, best first."""
    counts = Counter(word for sentence in found for word in sentence.words)
    total = counts.total() or 1
    probability = {word: count / total for word, count in counts.items()}
    left = {index: _weight(found[index].text) + 1 for index in _candidates(found)}  # one for the space between
    chosen: list[int] = []
    budget += 1
    while len(chosen) < most:
        left = {index: weight for index, weight in left.items() if weight <= budget}
        if not left:
            break
        index = _best(found, left, probability)
        chosen.append(index)
        budget -= left.pop(index)
        for word in set(found[index].words):
            probability[word] **= 2
    return chosen


def _candidates(found: Sequence[_Sentence]) -> Iterable[int]:
    """Return the indexes of the sentences that say something, the first of each that repeats."""
    telling = [index for index, sentence in enumerate(found) if sentence.words] or range(len(found))
    return sorted({found[index].text: index for index in reversed(telling)}.values())


def _best(found: Sequence[_Sentence], left: Collection[int], probability: Mapping[str, float]) -> int:
    """Return the best sentence among those with the most probable word that any of them has."""
    top = max((probability[word] for index in left for word in found[index].words), default=0.0)
    with_top = [index for index in left if any(probability[word] == top for word in found[index].words)]
    return max(with_top or left, key=lambda index: (_score(found[index], probability), -index))


def _score(sentence: _Sentence, probability: Mapping[str, float]) -> float:
    mean = sum(probability[word] for word in sentence.words) / max(len(sentence.words), _FEWEST_WORDS)
    opening = _WORD.search(sentence.text)
    return mean / 2 if opening and opening[0].lower() in _BACKWARD else mean


def _weight(text: str) -> int:
    """Return the length of `text` in quarters of a token."""
    if text.isascii():
        return len(text)
    return len(text) + (_CHARACTERS_PER_TOKEN - 1) * len(_CJK_CHARACTER.findall(text))


def _joined(chosen: Sequence[_Sentence]) -> str:
    text = chosen[0].text
    for sentence in chosen[1:]:
        text += ("\n" if sentence.own_line else "" if _CJK_CHARACTER.match(sentence.text) else " ") + sentence.text
    return text


def _cut(text: str, budget: int) -> str:
    """Return the beginning of `text` within `budget`, ended between words if there are any, with an ellipsis."""
    room = budget - 1
    end = 0
    for character in text[: max(room, 0)]:
        room -= _weight(character)
        if room < 0:
            break
        end += 1
    head = text[:end]
    if " " in head and end < len(text) and not text[end].isspace():
        head = head[: head.rindex(" ")]
    return f"{head.rstrip()}…" if head.strip() else ""


# ------------------------------------------------------------------------------------------------ sentences


def _sentences(text: str) -> list[_Sentence]:
    """Split `text` into sentences. Headings, lines without an end mark between paragraphs, are left out."""
    paragraphs = [part for part in _BLANK_LINE.split(text) if part.strip()]
    found = [list(_of_paragraph(paragraph)) for paragraph in paragraphs]
    body = [s for paragraph, ss in zip(paragraphs, found, strict=True) if not _is_heading(paragraph) for s in ss]
    return body or [sentence for ss in found for sentence in ss]


def _is_heading(paragraph: str) -> bool:
    line = paragraph.strip()
    if "\n" in line or len(line) > _LONGEST_HEADING or _BULLET.match(line):
        return False
    return line.startswith("#") or not _ends(line)


def _of_paragraph(paragraph: str) -> Iterator[_Sentence]:
    lines = [line.strip() for line in paragraph.splitlines() if line.strip()]
    flowing = _MARK.search(paragraph) is not None  # else nothing but its line tells where one thing ends
    block: list[str] = []
    for line in lines:
        if block and (not flowing or _BULLET.match(line)):
            yield from _of_block(block, own_line=not flowing)
            block = []
        block.append(line)
    yield from _of_block(block, own_line=not flowing)


def _of_block(lines: Sequence[str], *, own_line: bool) -> Iterator[_Sentence]:
    block = " ".join(lines)
    own_line = own_line or _BULLET.match(block) is not None
    start = 0
    for end in [*_ends(block), len(block)]:
        text = block[start:end].strip()
        if text:
            yield _Sentence(text, own_line and start == 0, tuple(_content_words(text)))
        start = end


def _ends(block: str) -> list[int]:
    """Return the places just behind the end mark of each sentence in `block`."""
    bullet = _BULLET.match(block)
    start = bullet.end() if bullet else 0
    return [m.end() for m in _MARK.finditer(block, start) if m["cjk"] or _is_end(block, m)]


def _is_end(block: str, mark: re.Match[str]) -> bool:
    following = block[mark.end() : mark.end() + 2].strip()[:1]
    if following.islower():
        return False  # "Really?" she said
    if mark["mark"] != ".":
        return True
    before = _LAST_WORD.search(block, max(0, mark.start() - 40), mark.start())
    word = before[1].lstrip("([\"'“‘") if before else ""  # noqa: RUF001 - quotation marks
    lower = word.lower()
    if lower in _MAYBE_LAST:
        return not following or following.isupper()
    if lower in _BEFORE_NUMBER:
        return not following.isdigit()
    initials = all(len(part) == 1 and part.isalpha() for part in word.split("."))  # J. S. Bach, e.g.
    return not (following and (lower in _ABBREVIATIONS or (initials and word != "I")))


def _words(text: str) -> Iterator[str]:
    """Yield the words of `text` in lower case; Chinese and Japanese, written without spaces, as pairs of characters."""
    for match in _WORD.finditer(text):
        word = match[0]
        if _CJK_CHARACTER.match(word) and len(word) > 1:
            yield from (word[i : i + 2] for i in range(len(word) - 1))
        else:
            yield word.lower()


def _content_words(text: str) -> Iterator[str]:
    for word in _words(text):
        stem = word.removesuffix("'s").removesuffix("\u2019s")
        if stem not in _COMMON:
            yield stem


# ------------------------------------------------------------------------------------------------ embeddings


def embed(
    texts: Sequence[str],
    *,
    dimensions: int | None = None,
    **params: Any,  # noqa: ARG001 - as in `summarize`
) -> list[list[float]]:
    """Return one vector of length 1 for each text, of `dimensions` numbers (None: 256).

    The method is feature hashing (Weinberger et al. 2009): each word, and each three letters of a word, adds 1 or -1 at
    a place that its hash chooses. Texts that share words, or forms of a word, are near each other; nothing is known of
    meaning. Raises ValueError when `dimensions` is not positive.
    """
    size = DEFAULT_DIMENSIONS if dimensions is None else dimensions
    if size < 1:
        raise ValueError(f"dimensions must be at least 1, not {size}")
    return [_vector(text, size) for text in texts]


def _vector(text: str, size: int) -> list[float]:
    vector = [0.0] * size
    for feature, count in Counter(_features(text)).items():
        digest = int.from_bytes(
            hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
        )
        sign = 1.0 if digest & 1 else -1.0
        vector[(digest >> 1) % size] += sign * (1.0 + math.log(count))
    length = math.hypot(*vector)
    if length == 0.0:  # nothing to hash, or all cancelled out: still of length 1, and always the same
        return [1.0, *vector[1:]]
    return [value / length for value in vector]


def _features(text: str) -> Iterator[str]:
    for word in _words(text):
        yield f"w:{word}"
        padded = f"^{word}$"
        yield from (f"3:{padded[i : i + 3]}" for i in range(len(padded) - 2))
