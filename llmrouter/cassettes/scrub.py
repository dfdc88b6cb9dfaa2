"""Takes out of an exchange what must not be in a file that is committed: keys, cookies, ids of accounts, hosts.

Headers and query parameters are kept by a list of what is known to be harmless; everything else goes. Text is searched
for every secret that was seen (in a header of this recording, or in an environment variable named like a key), however
it is quoted, and for what looks like a key of a known provider.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from llmrouter.cassettes.rewrite import Rule, rewritten
from llmrouter.cassettes.written import any_way

REDACTED: Final = "REDACTED"
SHORTEST: Final = 8  # characters; shorter values occur in ordinary text by chance
_ELSEWHERE: Final = "provider.invalid"  # stands for every host that is not known to be public

_KEPT_HEADERS: Final = re.compile(
    r"accept|content-type|(anthropic|openai)-(version|beta)|retry-after(-ms)?|x-should-retry"
    r"|(x-)?request-id|x-amzn-requestid|(anthropic|x)-ratelimit-[a-z-]+",
    re.IGNORECASE,
)
_SECRET_HEADERS: Final = re.compile(
    r"auth|key|token|secret|credential|password|signature|session|organi[sz]ation|project|workspace|account",
    re.IGNORECASE,
)
_KEPT_PARAMETERS: Final = frozenset({"alt", "api-version"})
_SECRET_VARIABLES: Final = re.compile(r"(\w+_)?(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|ORG_ID|PROJECT_ID)", re.IGNORECASE)
_PUBLIC_HOSTS: Final = re.compile(
    r"api\.(openai|anthropic|groq|mistral|deepseek|x|together|fireworks|cerebras|perplexity)\.(com|ai|xyz)"
    r"|generativelanguage\.googleapis\.com|([a-z0-9-]+-)?aiplatform\.googleapis\.com"
    r"|bedrock-runtime\.[a-z0-9-]+\.amazonaws\.com|openrouter\.ai|router\.huggingface\.co"
)
_START: Final = r"(?<![A-Za-z0-9])"
_SHAPES: Final = (
    (re.compile(_START + r"(?:sk|gsk|xai|hf|pplx|r8)[-_][A-Za-z0-9_*-]{16,}"), REDACTED),
    (re.compile(_START + r"AIza[A-Za-z0-9_-]{30,}"), REDACTED),
    (re.compile(_START + r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"), REDACTED),
    (re.compile(_START + r"ya29\.[A-Za-z0-9_-]{16,}"), REDACTED),
    (re.compile(_START + r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+"), REDACTED),  # a JWT
    (re.compile(_START + r"(?:org|proj|user)[-_][A-Za-z0-9]{20,}"), REDACTED),
    (re.compile(r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}"), rf"\g<1>{REDACTED}"),
    (re.compile(r"(/projects/)[^/?#\s\"\\]+"), rf"\g<1>{REDACTED}"),
    (re.compile(r"(arn(?::|%3A)aws[\w-]*(?::|%3A)[\w-]+(?::|%3A)[\w-]*(?::|%3A))\d{12}"), r"\g<1>000000000000"),
)
_NAMES: Final = (
    r"access_?token|refresh_?token|id_?token|session_?token|client_?secret|x?-?api[-_]?key|authorization|password"
    r"|organi[sz]ation(?:_?id)?|assertion"
)
_JSON_FIELD: Final = re.compile(rf'("(?:{_NAMES})"\s*:\s*")((?:[^"\\]|\\.)+)(")', re.IGNORECASE)
_FORM_FIELD: Final = re.compile(rf"((?:^|&)(?:{_NAMES})=)[^&\s]+", re.IGNORECASE)
_RULES: Final[tuple[Rule, ...]] = (
    (_JSON_FIELD, rf"\g<1>{REDACTED}\g<3>"),
    (_FORM_FIELD, rf"\g<1>{REDACTED}"),
    *_SHAPES,
)


class Scrubber:
    """Knows the secrets of one recording. Scrubbing twice changes nothing more."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._secrets: set[str] = set()
        self._search: re.Pattern[str] | None = None
        for _, value in secret_variables(environ or {}):
            self.learn(value)

    def learn(self, value: str) -> None:
        """Take `value` out of everything from now on; too short a value is ignored."""
        value = value.strip()
        if len(value) >= SHORTEST and value not in self._secrets and value != REDACTED:
            self._secrets.add(value)
            self._search = None

    def learn_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Learn the keys, cookies and ids that headers carry."""
        for name, value in headers:
            if "cookie" in name.lower():
                for cookie in value.split(";"):
                    self.learn(cookie.partition("=")[2])
            elif _SECRET_HEADERS.search(name) and not _KEPT_HEADERS.fullmatch(name):
                self.learn(value)
                for word in value.split():  # Bearer, Basic: the scheme is no secret
                    self.learn(word)
                    self.learn(_password(word))

    def learn_url(self, url: str) -> None:
        """Learn the password and the query parameters of a URL, but for those that are kept."""
        parts = urlsplit(url)
        self.learn(parts.password or "")
        for name, value in parse_qsl(parts.query):
            if name not in _KEPT_PARAMETERS:
                self.learn(value)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What is replaced in every text, and by what, in this order."""
        if not self._secrets:
            return _RULES
        self._search = self._search or any_way(self._secrets)
        return ((self._search, REDACTED), *_RULES)

    def text(self, text: str) -> str:
        """Return `text` without secrets."""
        for pattern, instead in self.rules:
            text = pattern.sub(instead, text)
        return text

    def body(self, body: bytes) -> bytes:
        """Return a body without secrets; one that is no text is searched byte by byte."""
        return b"".join(self.pieces([body]))

    def pieces(self, pieces: Sequence[bytes], *more: Rule) -> list[bytes]:
        """Return the pieces of a body, which is searched as a whole; what was replaced is all in one piece."""
        return rewritten(pieces, (*self.rules, *more))

    def holds(self, text: str) -> bool:
        """Whether one of the secrets that were learned is in `text`, in whatever way it is written there."""
        return bool(self._secrets) and self.rules[0][0].search(text) is not None

    def url(self, url: str) -> str:
        """Return a URL with a public host, its path, and the parameters that select a protocol."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        place = host if _PUBLIC_HOSTS.fullmatch(host) else _ELSEWHERE
        kept = [(name, value) for name, value in parse_qsl(parts.query) if name in _KEPT_PARAMETERS]
        return urlunsplit(("https", place, self.text(parts.path), self.text(urlencode(kept)), ""))

    def headers(self, headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
        """Return the headers that tell something and give nothing away, names in lower case."""
        kept: dict[str, list[str]] = {}
        for name, value in headers:
            if _KEPT_HEADERS.fullmatch(name):
                kept.setdefault(name.lower(), []).append(self.text(value))
        return kept

    def everything(self, value: Any) -> Any:
        """Return a structure of dicts and lists with every text and body in it scrubbed, keys of dicts included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.body(value)
        if isinstance(value, Mapping):
            return {self.everything(key): self.everything(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.everything(each) for each in value]
        return value


def secret_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give the environment variables that are named like a secret, and their values."""
    return ((name, value) for name, value in environ.items() if _SECRET_VARIABLES.fullmatch(name))


def _password(word: str) -> str:
    """Return the password of Basic authentication, empty for what is none."""
    try:
        return base64.b64decode(word, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def leaks(text: str) -> list[str]:
    """Return what in a file looks like a secret, shortened so that the report gives nothing away."""
    found = []
    for shape, instead in _SHAPES:
        matches = (match[0] for match in shape.finditer(text) if match.expand(instead) != match[0])
        found += [f"{match[:6]}… ({len(match)} characters)" for match in matches]
    found += [
        f"{match[1].strip()}… ({len(match[2])} characters)"
        for match in _JSON_FIELD.finditer(text)
        if match[2] != REDACTED
    ]
    return found
