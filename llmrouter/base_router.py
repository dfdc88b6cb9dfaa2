"""What Router and AsyncRouter have in common: the compiled file, and everything that needs no network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias, Unpack

from loguru import logger

from llmrouter import forks
from llmrouter.catalogue import ModelInfo
from llmrouter.compile import Compiled, file_stamp
from llmrouter.config.loader import load
from llmrouter.content import HALF, is_whole
from llmrouter.errors import ConfigError, InvalidRequestError
from llmrouter.explain import Plan, explain
from llmrouter.hints import did_you_mean
from llmrouter.observe.ledger import Accounts
from llmrouter.observe.log import LogObserver, enable_logging
from llmrouter.observe.standing import LimitStanding, SpendStanding, limits_of, spending_of
from llmrouter.observe.telemetry import Guarded, Telemetry
from llmrouter.pipeline import playback
from llmrouter.pipeline.call import Call, make_call
from llmrouter.pipeline.embedding import Embedding
from llmrouter.pipeline.observer import Observer
from llmrouter.pipeline.options import ChatOptions
from llmrouter.pipeline.pipeline import Pipeline
from llmrouter.pipeline.plan import RoutePlan
from llmrouter.pipeline.runtime import Runtime
from llmrouter.pipeline.traffic import Traffic
from llmrouter.policy.breaker import BreakerState
from llmrouter.prices import LOCAL_KINDS
from llmrouter.providers import registry
from llmrouter.route import Route
from llmrouter.store.behind import WriteBehind
from llmrouter.store.opening import is_redis, open_cache, open_circuits, open_leases
from llmrouter.store.state import open_state
from llmrouter.tokens.counter import TokenCounter
from llmrouter.tokens.factors import Factors
from llmrouter.types import MessagesLike, TokenCount
from llmrouter.usage import Moment, UsageReport, usage_of

if TYPE_CHECKING:
    from llmrouter.config.models import RoutesConfig
    from llmrouter.store.ledger import Ledger

Source: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | RoutesConfig | None"


class BaseRouter:
    """What both routers share. A subclass sets `_runtime`, by which its calls wait, before it calls `__init__`."""

    _runtime: Runtime

    def __init__(self, source: Source = None, *, watch: bool = False, environ: Mapping[str, str] | None = None) -> None:
        self._reloading = forks.lock()
        loaded = load(source, environ, kinds=registry.names())
        # The same file at every reload, wherever the program has gone meanwhile.
        self._source: Source = source if loaded.path is None else loaded.path
        self._environ, self._watch = environ, watch
        self._stamp = file_stamp(loaded.path)
        self._compiled = Compiled(loaded)
        self._pipeline = _pipeline(self._runtime, self._compiled)
        self._embedding = Embedding(self._pipeline)
        self._accounts = Accounts(self._pipeline, loaded.config.state_url)
        self._accounts.use(loaded)
        self._telemetry = Telemetry(self)
        self._telemetry.use(loaded.config.telemetry)
        self._pipeline.closing = (self._accounts.close, self._telemetry.close)
        self._told: set[str] = set()  # reasons that the log has given for targets that are skipped in every call
        self._added: tuple[Guarded, ...] = ()  # the observers that the program has added
        self._use_observers()
        self._warn_unusable()

    # -------------------------------------------------------------------------------------- the file

    def reload(self) -> bool:
        """Read the file again and swap it in for the calls that start from now on; return whether that was done.

        A file with mistakes changes nothing: the routes stay as they were, the mistakes are logged as an error and
        kept in `reload_error`. Calls under way finish with the configuration they started with.
        """
        with self._reloading:
            return self._swapped()

    def _swapped(self) -> bool:
        self._stamp = file_stamp(self._compiled.loaded.path)
        try:
            compiled = Compiled(load(self._source, self._environ, kinds=registry.names()), self._compiled)
            self._telemetry.use(compiled.loaded.config.telemetry)
            self._accounts.use(compiled.loaded)
        except ConfigError as error:
            self.reload_error = error
            logger.error("the edited file is not used, the routes stay as they were\n{}", error)
            return False
        self.reload_error = None
        self._compiled = compiled
        self._use_observers()
        self._warn_unusable()
        return True

    reload_error: ConfigError | None = None
    """Why the last reload did not happen; None when it did."""

    def _current(self) -> Compiled:
        # One stat a call (about a microsecond) instead of a thread: the call after an edit sees the edit.
        if self._watch and self._is_edited():
            with self._reloading:
                if self._is_edited():  # of the threads that see the edit, one reads the file
                    self._swapped()
        return self._compiled

    def _is_edited(self) -> bool:
        return file_stamp(self._compiled.loaded.path) != self._stamp

    def add_observer(self, observer: Observer) -> None:
        """Have `observer.ended(end)` called when a call is over, from now on and across reloads of the file.

        It is called on the way of the call, so it must be quick. What it raises costs a warning, once, never a call.
        One that has `attach(router)` is handed this router first.
        """
        attach = getattr(observer, "attach", None)
        if attach is not None:
            attach(self)
        with self._reloading:
            self._added = (*self._added, Guarded(observer))
            self._use_observers()

    def _use_observers(self) -> None:
        section = self._compiled.loaded.config.logging
        if section is not None:
            enable_logging(section.level)
        prompts, responses = (False, False) if section is None else (section.prompts, section.responses)
        log = LogObserver(prompts=prompts, responses=responses, told=self._told)
        self._pipeline.observers = (log, *self._telemetry.observers, *self._added)

    def _warn_unusable(self) -> None:
        reasons = self._compiled.unusable()
        self._told.clear()
        if not reasons or playback.replaying():
            return

        def listed() -> str:  # called only where somebody listens
            self._told.update(reasons.values())
            return self._compiled.lacks()

        logger.opt(lazy=True).warning("targets of these providers are skipped: {}", listed)

    # -------------------------------------------------------------------------------------- without network

    @property
    def routes(self) -> Mapping[str, Route[Self]]:
        """The file's routes by name, in the order of the file."""
        return {name: Route(self, name) for name in self._current().plans}

    def plan(self, name: str) -> RoutePlan:
        """Return what a route, or a target string, is compiled into. Raises RouteNotFoundError with near misses."""
        return self._current().plan(name)

    @property
    def total_cost(self) -> float:
        """USD that this router has spent, as far as prices are known; failed attempts that were billed are in it."""
        return self._pipeline.books.total_usd

    @property
    def ledger(self) -> Ledger:
        """The ledger itself, for reports of your own. Raises ConfigError where the file says `ledger: false`."""
        return self._accounts.ledger

    def usage(
        self,
        since: Moment = None,
        until: Moment = None,
        by: str = "day",
        *,
        route: str | None = None,
        target: str | None = None,
        provider: str | None = None,
        outcome: str | None = None,
    ) -> UsageReport:
        """Add up the ledger, which all programs share that name the same file: calls, tokens, money, failures, latency.

        `since` and `until` are a date or datetime (without a zone: UTC), an ISO date, Unix seconds, or how long ago
        ("7d"). `by` is hour, day, week, month, route, target, model, provider, outcome or `tag:<name>` (of `metadata`);
        the other arguments keep only what is of that route, target, provider or outcome. Raises InvalidRequestError,
        and ConfigError where the file says `ledger: false`.
        """
        only = {"route": route, "target": target, "provider": provider, "outcome": outcome}
        return usage_of(self._accounts.ledger, since=since, until=until, by=by, **only)

    def summary(self) -> str:
        """Return what this process has used since this router was made, in a few lines for the end of a script."""
        return self._accounts.summary()

    def status(self) -> Mapping[str, BreakerState]:
        """Return the breaker of each target that the routes name: whether it is asked, and if not, until when."""
        return self._pipeline.traffic.states(list(self._current().plans.values()))

    def limits(self) -> list[LimitStanding]:
        """Return how the limits on pace (`limits:`) stand."""
        return limits_of(list(self._current().plans.values()), self._pipeline.traffic.limiter)

    def spending(self) -> list[SpendStanding]:
        """Return how the spend limits stand in their current periods, over all processes."""
        return spending_of(list(self._current().plans.values()), self._accounts.book)

    def explain(self, route: str, messages: MessagesLike, **options: Unpack[ChatOptions]) -> Plan:
        """Return what a call with the same arguments would do, without any network. Raises as `chat` does."""
        return explain(self._pipeline, self._call(route, messages, options))

    def count_tokens(self, target: str, messages: MessagesLike) -> TokenCount:
        """Return the tokens that `target` (`provider/model`) sees for `messages`; see TokenCount for exactness."""
        from llmrouter.messages import normalize

        return self._pipeline.counter.count(target, normalize(messages))

    def models(self, provider: str | None = None) -> list[ModelInfo]:
        """List the known models of one provider of the file, or of all.

        openai, anthropic and google are there without an entry. Raises InvalidRequestError for any other name that the
        file does not have.
        """
        catalogue = self._current().catalogue
        known = catalogue.providers
        if provider is None or provider in known:
            return catalogue.models(provider)
        advice = did_you_mean(provider, known, 3) or f"known: {', '.join(sorted(known))}"
        raise InvalidRequestError(f"no provider named {provider!r}; {advice}")

    def model_info(self, target: str) -> ModelInfo:
        """Return what is known of a model: context window, prices, capabilities; None where it is not known."""
        return self._current().catalogue.model_info(target)

    def recommend(
        self,
        needs: Sequence[str] | str = (),
        budget: Any = None,
        max_input_price: float | None = None,
        min_context: int | str | None = None,
    ) -> list[ModelInfo]:
        """Return the models that have all of `needs`, cheapest first, of the providers that have a key.

        `budget` keeps the cheapest third ("low"), two thirds ("medium") or all ("high") of what fits;
        `max_input_price` is in USD per million tokens, `min_context` in tokens (100_000, "100k"). Raises
        InvalidRequestError for an unknown need or budget, and for what is no price or no count.
        """
        compiled = self._current()
        usable = [
            name
            for name, endpoint in compiled.endpoints.items()
            if endpoint.kind not in LOCAL_KINDS  # usable without a key, and nothing is listed of them
            and compiled.why_unusable(compiled.provider(name)) is None
        ]
        return compiled.catalogue.recommend(
            (needs,) if isinstance(needs, str) else needs, budget, max_input_price, min_context, usable or None
        )

    def _call(self, route: str, messages: MessagesLike, options: Mapping[str, Any]) -> Call:
        plan = self._current().plan(route, options.get("fallbacks"))
        return make_call(plan, messages, options)

    def _embed_call(self, route: str, options: Mapping[str, Any]) -> Call:
        plan = self._current().plan(route)
        allowed = ("timeout", "deadline", "metadata")
        unknown = next((name for name in options if name not in allowed), None)
        if unknown is not None:
            raise TypeError(f"unknown keyword {unknown!r} of embed; it takes dimensions, {', '.join(allowed)}")
        return make_call(plan, "", options).embedding()


def _pipeline(runtime: Runtime, compiled: Compiled) -> Pipeline:
    """Return a pipeline over the stores that the file names; none of them is opened before it is used."""
    loaded = compiled.loaded
    url, folder = loaded.config.state_url, loaded.file(loaded.config.cache.dir)
    counter = TokenCounter(Factors(folder))
    cache = WriteBehind(open_cache(url, folder, loaded.config.cache.size_limit))
    local = open_state(None, folder)
    shared = None if url is None else open_state(url, folder)
    leases = open_leases(folder, local, shared if is_redis(url) else None)
    circuits = open_circuits(local, compiled.identity)
    return Pipeline(runtime, cache, counter, Traffic(local, shared, circuits, leases, counter))


def texts_of(texts: str | Sequence[str]) -> list[str]:
    """Return the texts to embed as a list; one text alone is a list of one. Raises InvalidRequestError for others."""
    listed = [texts] if isinstance(texts, str) else list(texts)
    for index, text in enumerate(listed):
        if not isinstance(text, str):
            raise InvalidRequestError(f"texts[{index}]: expected text, got {type(text).__name__}")
        if not is_whole(text):
            raise InvalidRequestError(f"texts[{index}] holds {HALF}")
    return listed
