"""What the pipeline does differently while a cassette is in use; `llmrouter.cassettes` switches it on and off.

The switch is a plain variable and not a context variable: threads that a test starts must see it as well.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from llmrouter.providers.base import Provider, ProviderSettings
from llmrouter.types import Secret

if TYPE_CHECKING:
    from llmrouter.pipeline.options import Options
    from llmrouter.tokens.counter import TokenCounter

_INSTANT_S: Final = 0.01  # not zero: what waits for a limit to have room again asks over and over
_STAND_IN: Final = "replayed"  # where an SDK insists on a credential; no request with it leaves the process
_SIGN_IN: Final = {"azure", "bedrock", "vertex"}  # without a key these look for a login, or sign each request
_NO_PART_OF_THE_REQUEST: Final = {"timeout", "deadline", "cache", "metadata"}


@dataclass(frozen=True, slots=True, eq=False)
class Playback:
    """How one cassette is used. `replaying`: no request goes out; `instant`: and nothing is waited for."""

    replaying: bool
    instant: bool
    cache: bool  # whether routes use their cache of answers


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose request is on its way: the route, its target, and the call's own parameters by name."""

    route: str
    target: str
    overrides: tuple[str, ...]


class UnsentError(BaseException):
    """A request was held back, since a replay sends nothing. It fails its call; nobody gave that call up."""


_in_use: tuple[Playback, ...] = ()
asked: Final[ContextVar[Asked | None]] = ContextVar("llmrouter_asked", default=None)


def start(playback: Playback) -> None:
    """Use a cassette from now on; the one started last counts."""
    global _in_use  # noqa: PLW0603 - one process, one cassette at a time
    _in_use = (*_in_use, playback)


def stop(playback: Playback) -> None:
    """Use that cassette no longer."""
    global _in_use  # noqa: PLW0603
    _in_use = tuple(each for each in _in_use if each is not playback)


def in_use() -> bool:
    """Whether a cassette is in use: what is counted and paid now says nothing about the provider's bill."""
    return bool(_in_use)


def replaying() -> bool:
    """Whether every answer comes from a cassette, so that no key is needed and nothing is paid."""
    return bool(_in_use) and _in_use[-1].replaying


def skips_cache() -> bool:
    """Whether routes leave their cache of answers alone, so that each call reaches the cassette."""
    return bool(_in_use) and not _in_use[-1].cache


def paced(seconds: float) -> float:
    """Return how long a wait of `seconds` really takes: next to nothing in an instant replay."""
    return min(seconds, _INSTANT_S) if _in_use and _in_use[-1].instant else seconds


@cache
def neutral_counter() -> TokenCounter:
    """Return a counter that has learned nothing: what is cut to fit a budget must not differ between two machines."""
    from llmrouter.tokens.counter import TokenCounter

    return TokenCounter()


def note(route: str, target: str, options: Options) -> None:
    """Remember whose request is sent next by this thread or task: a cassette that records writes it down."""
    if _in_use:
        given = (each.name for each in fields(options) if getattr(options, each.name) is not None)
        overrides = tuple(sorted(name for name in given if name not in _NO_PART_OF_THE_REQUEST))
        asked.set(Asked(route, target, overrides))


def connectable(provider: Provider) -> Provider:
    """Return a provider that can open its client: `provider`, or its like with what is missing made up in a replay."""
    settings = provider.settings
    signs_in = settings.kind in _SIGN_IN and not (settings.api_key or settings.token)
    if not replaying() or (provider.unusable() is None and not signs_in):
        return provider
    from llmrouter.providers import registry

    return registry.create(replace(settings, **_made_up(settings)))


def _made_up(settings: ProviderSettings) -> dict[str, Any]:
    """Return stand-ins for what an SDK insists on, and does not have."""
    secret = Secret(_STAND_IN)
    if settings.kind == "vertex":
        return {"token": secret, "project": settings.project or _STAND_IN}
    found: dict[str, Any] = {"api_key": settings.api_key or secret}
    if settings.kind == "azure":
        found["base_url"] = settings.base_url or "https://provider.invalid"
        found["api_version"] = settings.api_version or _STAND_IN
    elif settings.kind == "bedrock":
        found["region"] = settings.region or "us-east-1"
    return found
