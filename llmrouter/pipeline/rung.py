"""One rung of a call: the request fitted and encoded for its target, and what an exception there means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from loguru import logger

from llmrouter.errors import (
    LLMRouterError,
    MalformedResponseError,
    ProviderError,
    RequestTimeoutError,
    UnsupportedError,
)
from llmrouter.frozen import quickly_made
from llmrouter.history import for_origin
from llmrouter.pipeline import playback
from llmrouter.pipeline.call import Call
from llmrouter.pipeline.plan import RungPlan, Timeouts
from llmrouter.providers.base import WireCall, WireTimeouts
from llmrouter.providers.failures import redact
from llmrouter.store.keys import cache_key
from llmrouter.types import Message, Request, Trim

if TYPE_CHECKING:
    from llmrouter.tokens.counter import Measured, TokenCounter

T = TypeVar("T")


class Ready(Protocol):
    """A rung that is ready to be asked, for whatever it is asked."""

    @property
    def rung(self) -> RungPlan:
        """The rung."""
        ...

    @property
    def timeouts(self) -> Timeouts:
        """The rung's limits, with the call's own over them."""
        ...

    def prompt_tokens(self, counter: TokenCounter) -> int:
        """Return the tokens of the prompt, counted or estimated."""
        ...

    def output_bound(self) -> int | None:
        """Return the most tokens that the answer may have, None when nobody says."""
        ...


@quickly_made
@dataclass(frozen=True, slots=True)
class Prepared:
    """A rung that is ready to be asked.

    `key` is None where the call does not use the cache; `measured` is how long the prompt is,
    None where it did not have to be counted.
    """

    rung: RungPlan
    timeouts: Timeouts
    request: Request
    body: Mapping[str, Any]
    key: str | None = None
    trim: Trim | None = None
    measured: Measured | None = None

    def prompt_tokens(self, counter: TokenCounter) -> int:
        """Return the tokens of the prompt, counted or estimated."""
        if self.measured is not None:
            return self.measured.tokens
        request = self.request
        return counter.count(self.rung.target, request.messages, request.tools, request.schema).tokens

    def output_bound(self) -> int | None:
        """Return the most tokens that the answer may have, None when neither the request nor the model says."""
        asked = (self.body.get(name) for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"))
        nested = (self.body.get("generationConfig") or {}).get("maxOutputTokens")
        return next((bound for bound in (*asked, nested) if bound is not None), self.rung.max_output)

    def wire(self, limit_s: float, *, stream: bool) -> WireCall:
        """Return the request as the client sends it, `limit_s` seconds being left for an answer or its beginning."""
        body = self.rung.provider.codec.streaming(self.body) if stream else self.body
        read_s = max(limit_s, self.timeouts.idle) if stream else limit_s
        timeouts = WireTimeouts(min(self.timeouts.connect, limit_s), read_s, limit_s)
        return WireCall("chat", self.rung.model, body, timeouts)


def lacking(call: Call, rung: RungPlan) -> str | None:
    """Return why `rung` cannot take this call at all, or None."""
    if rung.unusable is not None:
        keyless = call.options.cache == "only" or playback.replaying()  # an answer that is kept needs no key
        if not keyless:
            return rung.unusable
    if call.needs and rung.capabilities is not None:
        missing = call.needs - rung.capabilities
        if missing:
            return f"{rung.model} lacks {', '.join(sorted(missing))}"
    return None


def prepare(call: Call, rung: RungPlan, counter: TokenCounter) -> Prepared:
    """Fit the history to the rung's budget and provider, and encode it.

    Raises ContextLengthError where the budget's policy is `error` or nothing more can go, and UnsupportedError where
    the protocol cannot carry the request.
    """
    messages, trim, measured = _fitted(call, rung, playback.neutral_counter() if playback.in_use() else counter)
    request = call.request(rung, for_origin(messages, rung.provider.settings.name))
    lacks = rung.provider.lacks(request)
    if lacks is not None:
        raise UnsupportedError(f"{rung.target} cannot carry {lacks}")
    body = rung.provider.codec.encode(request)
    key = cache_key(rung.key_prefix, body) if call.cache is not None else None
    return Prepared(rung, call.timeouts(rung), request, body, key, trim, measured)


def _fitted(
    call: Call, rung: RungPlan, counter: TokenCounter
) -> tuple[tuple[Message, ...], Trim | None, Measured | None]:
    bounds = [bound for bound in (call.plan.budget.input, call.options.max_context_tokens) if bound is not None]
    if not bounds:
        return call.messages, None, None
    if not counter.wants(rung.target) and counter.surely_within(
        rung.target, call.messages, call.tools, call.schema, min(bounds)
    ):
        return call.messages, None, None
    measured = counter.measure(rung.target, call.messages, call.tools, call.schema)
    if measured.tokens <= min(bounds):  # nearly always, and then one count is enough
        return call.messages, None, measured
    from llmrouter.policy.overflow import fit

    def count(messages: Any) -> int:
        return counter.count(rung.target, messages, call.tools, call.schema).tokens

    fitted = fit(call.messages, min(bounds), call.plan.budget.overflow, count)
    measured = counter.measure(rung.target, fitted.messages, call.tools, call.schema)
    if fitted.trim is not None:
        _warn_trimmed(call, rung, fitted.trim)
    return fitted.messages, fitted.trim, measured


def _warn_trimmed(call: Call, rung: RungPlan, trim: Trim) -> None:
    logger.bind(route=call.plan.name, target=rung.target).warning(
        "{} {} | trimmed from {} to {} tokens: {} messages dropped, {} characters cut",
        call.plan.name,
        rung.target,
        trim.tokens_before,
        trim.tokens_after,
        trim.messages_dropped,
        trim.characters_cut,
    )


def as_ours(rung: RungPlan, error: Exception, limit: str, limit_s: float | None) -> LLMRouterError | None:
    """Return what `error`, raised while `rung` was asked, means in our terms; None for what we do not know.

    `limit` names the limit that was running and `limit_s` its seconds.
    """
    ours = _mapped(rung, error)
    if isinstance(ours, RequestTimeoutError) and ours.limit != "connect":
        ours.limit, ours.seconds = limit, limit_s
        ours.message = f"no answer within {limit_s or 0:.3g}s ({limit} limit)"
        ours.args = (ours.message,)
    if isinstance(ours, ProviderError):
        ours.target = ours.target or rung.target
        redact(rung.provider.settings.api_key, ours, error)
    return ours


def _mapped(rung: RungPlan, error: Exception) -> LLMRouterError | None:
    if isinstance(error, LLMRouterError):
        return error
    if isinstance(error, TimeoutError):
        return RequestTimeoutError("no answer in time")
    return rung.provider.translate(error)


def raise_as_ours(rung: RungPlan, error: Exception, limit: str, limit_s: float | None) -> NoReturn:
    """Raise `error` in our terms, chained; one that we do not know passes as it is. Call it from an except clause."""
    ours = as_ours(rung, error, limit, limit_s)
    if ours is None or ours is error:
        raise error
    raise ours from without_frames(error)


def without_frames(error: BaseException) -> BaseException:
    """Return a foreign error and its causes without tracebacks: locals of an SDK's frames hold headers with keys."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def read(rung: RungPlan, decode: Callable[..., T], *args: Any) -> T:
    """Return `decode(*args)`; a codec that stumbles over the wire raises MalformedResponseError, whatever it was."""
    try:
        return decode(*args)
    except LLMRouterError as error:
        raise_as_ours(rung, error, "", None)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        malformed = MalformedResponseError(
            f"the answer does not follow the protocol: {type(error).__name__}: {error}", target=rung.target
        )
        raise malformed from error
