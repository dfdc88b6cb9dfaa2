"""The shape of routes.yaml. These models read the file, write its JSON Schema, and are its reference page.

None means that the file does not say, or that it says `false` (off); what the file did say is in `model_fields_set`,
which inheritance relies on. A key with nothing after it counts as not written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, WrapSerializer, model_validator

from llmrouter.config.fields import (
    Count,
    Duration,
    FilePath,
    HttpUrl,
    KindName,
    Limit,
    LogLevel,
    Percent,
    PricedTarget,
    Reasoning,
    SchemaReference,
    SecretText,
    Size,
    Switch,
    Target,
    UpToOne,
    UpToTwo,
    Usd,
    Version,
    Weight,
    Whole,
    cache_shorthand,
    none_is_off,
    off_is_none,
    rung_shorthand,
    stop_shorthand,
)
from llmrouter.config.sections import Section, TelemetryConfig

Api: TypeAlias = Literal["chat", "responses"]
Action: TypeAlias = Literal["retry", "next", "stop"]
ErrorName: TypeAlias = Literal[
    "rate_limit",
    "quota",
    "server",
    "overloaded",
    "connection",
    "timeout",
    "malformed",
    "context_length",
    "content_filter",
    "bad_request",
    "authentication",
    "permission",
    "not_found",
    "output_invalid",
    "stream_interrupted",
    "refusal",
    "length",
]
OffWord: TypeAlias = Literal[False, "off"]


_DUMP_OFF: Final = WrapSerializer(none_is_off)


# ------------------------------------------------------------------------------------------------ small sections


class TimeoutsConfig(Section):
    """Limits on one attempt. Each may be left out, and then has the default that its description names."""

    connect: Limit | None = Field(default=None, description="Longest time to open the connection. Default 5s.")
    attempt: Limit | None = Field(default=None, description="Longest time for one complete answer. Default 60s.")
    first_token: Limit | None = Field(
        default=None,
        description="Longest wait for the first token of a stream. Default 20s. Set it, and `chat` streams too.",
    )
    idle: Limit | None = Field(
        default=None,
        description="Longest silence between two pieces of a stream. Default 15s. Set it, and `chat` streams too.",
    )
    total: Limit | None = Field(default=None, description="Longest time for a whole stream. Default 10m.")


class RetryConfig(Section):
    """How often one rung is asked, and how long to wait in between."""

    attempts: Count = Field(default=3, description="Requests to one rung at most, the first one included.")
    backoff: Literal["exponential", "linear", "constant"] = Field(
        default="exponential", description="How waits grow: doubled, by equal steps, or not at all."
    )
    initial: Duration = Field(default=0.5, description="The first wait. Default 500ms.")
    max: Duration = Field(default=20.0, description="The longest wait that backoff asks for. Default 20s.")
    jitter: Literal["full", "none"] = Field(
        default="full",
        description="`full` waits a random part of the time, so that many callers do not return at once.",
    )

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if {"initial", "max"} <= self.model_fields_set and self.max < self.initial:
            raise ValueError("`max` is shorter than `initial`; swap them, or raise `max`")
        return self


class ParamsConfig(Section):
    """Sampling parameters; what is left out keeps the provider's default."""

    temperature: UpToTwo | None = Field(default=None, description="0 is the most predictable, 2 the most varied.")
    top_p: UpToOne | None = Field(
        default=None, description="Sample only from the most likely tokens that make up this share."
    )
    max_tokens: Count | None = Field(default=None, description="Most tokens to generate, reasoning included.")
    stop: Annotated[tuple[str, ...] | None, BeforeValidator(stop_shorthand, json_schema_input_type=str | list[str])] = (
        Field(default=None, description="Text, or a list of texts, that ends the answer.")
    )
    seed: Whole | None = Field(default=None, description="Ask for repeatable sampling, where the provider offers it.")
    reasoning: Reasoning | None = Field(
        default=None, description="How much the model thinks first: none, low, medium, high, or a budget in tokens."
    )
    extra: dict[str, Any] | None = Field(
        default=None, description="Sent to the provider as it is, beside everything else."
    )


class TokenBudgetConfig(Section):
    """Bounds on the tokens of a call."""

    input: Count | None = Field(
        default=None, description="Most tokens in the prompt; `overflow` says what happens to more."
    )
    output: Count | None = Field(default=None, description="Most tokens to generate: a ceiling for `max_tokens`.")
    overflow: Literal["drop_oldest", "truncate_middle", "error"] | None = Field(
        default=None,
        description="A prompt over `input`: drop the oldest whole turns (default), cut the middle of the longest "
        "message, or raise ContextLengthError before any request.",
    )


class RouteCacheConfig(Section):
    """Serve a repeated request from disk."""

    ttl: Limit | None = Field(default=None, description="How long an answer stays fresh. Without it, for good.")
    stale_if_error: Limit | None = Field(
        default=None, description="How long after `ttl` an answer may still be served when every target has failed."
    )


class PriceConfig(Section):
    """USD per million tokens. A bucket without a price is priced by the built-in table's rules, or unknown."""

    input: Usd | None = Field(default=None, description="Prompt tokens.")
    output: Usd | None = Field(default=None, description="Generated tokens, reasoning included.")
    cache_read: Usd | None = Field(
        default=None, description="Prompt tokens that the provider read from its prompt cache."
    )
    cache_write: Usd | None = Field(
        default=None, description="Prompt tokens that the provider wrote to its prompt cache."
    )
    cache_write_1h: Usd | None = Field(default=None, description="The same, kept for an hour.")


class SpendLimitConfig(Section):
    """A ceiling on money. The worst case is reserved before an attempt, so that concurrent calls cannot overshoot."""

    usd: Usd = Field(description="The most to spend in each period, in USD.")
    per: Literal["minute", "hour", "day", "week", "month", "total"] = Field(
        default="day", description="The period; `total` never starts anew."
    )
    on_exceed: Literal["error", "next"] = Field(
        default="error", description="Raise BudgetExceededError, or try the next rung of the chain."
    )


class LimitsConfig(Section):
    """A pace that is kept on our side, before the provider has to say 429."""

    requests_per_minute: Count | None = Field(default=None, description="Most requests started in a minute.")
    tokens_per_minute: Count | None = Field(default=None, description="Most tokens, prompt and answer, in a minute.")
    concurrency: Count | None = Field(default=None, description="Most requests under way at the same time.")


class BreakerConfig(Section):
    """Leave a target alone for a while after repeated failures. Shared by all routes that use the target."""

    failures: Count = Field(default=5, description="Failures within `window` that open the breaker.")
    window: Limit = Field(default=60.0, description="How far back failures count. Default 60s.")
    cooldown: Limit = Field(default=30.0, description="How long the target is left alone. Default 30s.")


class HedgeConfig(Section):
    """Start the next rung when the first one is slow; the loser is cancelled and booked."""

    after: Limit = Field(description="How long the first rung may take before the next one starts beside it.")
    max_extra: Percent = Field(
        default=0.05, description="Most hedged requests, as a share of all requests. Default 5%."
    )


class PoolConfig(Section):
    """Connections to one provider."""

    max_connections: Count = Field(default=100, description="Most connections open at once.")
    keepalive: Count = Field(default=20, description="Most idle connections kept for the next request.")


# ------------------------------------------------------------------------------------------------ providers


class ProviderConfig(Section):
    """An endpoint with credentials. What is left out comes from the provider's usual environment variables."""

    kind: KindName | None = Field(
        default=None,
        description="The protocol, or a preset such as openrouter. Default: the entry's own name, if that is one.",
    )
    base_url: HttpUrl | None = Field(
        default=None, repr=False, description="Where requests go, such as http://127.0.0.1:8080/v1."
    )
    api_key: SecretText = Field(
        default=None,
        description="Write ${NAME}, never the key itself. Without a key the provider is skipped, with one warning.",
    )
    api: Api | None = Field(default=None, description="Which of OpenAI's protocols to speak.")
    api_version: str | None = Field(
        default=None, description="The API's version, where the provider asks for one (azure)."
    )
    organization: str | None = Field(default=None, description="The organization to bill (openai).")
    project: str | None = Field(default=None, description="The project (openai, vertex).")
    region: str | None = Field(default=None, description="The region (bedrock, vertex).")
    headers: dict[str, str] | None = Field(default=None, repr=False, description="Headers to add to every request.")
    limits: LimitsConfig | None = Field(default=None, description="A pace for all routes that use this provider.")
    spend_limit: SpendLimitConfig | None = Field(
        default=None, description="A ceiling on money for all routes that use this provider."
    )
    pool: PoolConfig = Field(default=PoolConfig(), description="Connections to this provider.")
    proxy: str | None = Field(default=None, repr=False, description="A proxy for every request to this provider.")
    ca_bundle: FilePath | None = Field(default=None, description="A file with the certificates to trust (PEM).")


# ------------------------------------------------------------------------------------------------ routes


class RungConfig(Section):
    """One place in a route's chain: a target, and what differs from the route there."""

    model: Target = Field(description="The target, as provider/model.")
    api: Api | None = Field(default=None, description="Which of OpenAI's protocols to speak for this target.")
    params: ParamsConfig = Field(default=ParamsConfig(), description="Parameters that replace the route's.")
    timeouts: TimeoutsConfig = Field(default=TimeoutsConfig(), description="Limits that replace the route's.")
    retry: RetryConfig = Field(default=RetryConfig(), description="Retries that replace the route's.")
    prices: PriceConfig | None = Field(default=None, description="Prices for this place in the chain.")
    weight: Weight = Field(default=1.0, description="The share of calls that start here, with `strategy: weighted`.")


Rung: TypeAlias = Annotated[RungConfig, BeforeValidator(rung_shorthand, json_schema_input_type=Target | RungConfig)]


class DefaultsConfig(Section):
    """What every route inherits: maps merge key by key, lists and single values replace."""

    strategy: Literal["priority", "weighted", "round_robin", "cheapest", "fastest"] = Field(
        default="priority",
        description="Where in the chain a call starts: as written, by weight (sticky, so that prompt caches keep "
        "working), in turns, at the lowest price for this request, or at the lowest recent latency.",
    )
    system: str | None = Field(default=None, description="The system prompt, where a call brings none.")
    params: ParamsConfig = Field(default=ParamsConfig(), description="Sampling parameters.")
    retry: RetryConfig = Field(default=RetryConfig(), description="How often one rung is asked, and how long to wait.")
    timeouts: TimeoutsConfig = Field(default=TimeoutsConfig(), description="Limits on one attempt.")
    deadline: Limit | None = Field(
        default=None, description="The whole call: every retry, wait and fallback. For a stream, up to its first token."
    )
    token_budget: TokenBudgetConfig | None = Field(default=None, description="Bounds on prompt and answer, in tokens.")
    cache: Annotated[
        RouteCacheConfig | None,
        BeforeValidator(cache_shorthand, json_schema_input_type=RouteCacheConfig | Duration | bool | Literal["off"]),
        _DUMP_OFF,
    ] = Field(default=None, description="Serve a repeated request from disk: a map, a lifetime such as 24h, or false.")
    spend_limit: Annotated[
        SpendLimitConfig | None,
        BeforeValidator(off_is_none, json_schema_input_type=SpendLimitConfig | OffWord),
        _DUMP_OFF,
    ] = Field(default=None, description="A ceiling on each route's money.")
    limits: LimitsConfig | None = Field(default=None, description="A pace for each route.")
    breaker: Annotated[
        BreakerConfig | None, BeforeValidator(off_is_none, json_schema_input_type=BreakerConfig | OffWord), _DUMP_OFF
    ] = Field(default=BreakerConfig(), description="Leave a failing target alone for a while; false turns it off.")
    hedge: Annotated[
        HedgeConfig | None, BeforeValidator(off_is_none, json_schema_input_type=HedgeConfig | OffWord), _DUMP_OFF
    ] = Field(default=None, description="Start the next rung when the first one is slow.")
    on: dict[ErrorName, Action] = Field(
        default={}, description="What an error leads to: ask the same rung again, go to the next, or stop."
    )
    on_break: Literal["error", "restart"] = Field(
        default="error",
        description="A stream that breaks after its first token: raise, or start over on the next rung.",
    )
    prompt_cache: str = Field(
        default="auto",
        description="Provider-side prompt caching: auto marks the stable prefix, off does not, a name uses that cache.",
    )


class RouteConfig(DefaultsConfig):
    """A named policy: which targets, how long, how often, how much, from cache or not."""

    description: str | None = Field(default=None, description="What the route is for, shown by `llmrouter routes`.")
    model: Rung = Field(description="The first target of the chain, as provider/model.")
    fallbacks: tuple[Rung, ...] = Field(default=(), description="The rest of the chain, tried in order.")
    output_schema: SchemaReference | None = Field(
        default=None,
        alias="schema",
        description="Structured output: a JSON Schema file (from this file's folder), or python:module:Model.",
    )
    prices: dict[PricedTarget, PriceConfig] = Field(
        default={}, description="USD per million tokens on this route; `*` stands for any part of a model's name."
    )


# ------------------------------------------------------------------------------------------------ the file


class CacheConfig(Section):
    """Where cached answers live. Which routes use the cache is said by the routes."""

    dir: FilePath = Field(default=Path("~/.cache/llmrouter"), description="The folder. Default ~/.cache/llmrouter.")
    size_limit: Size = Field(
        default=1 << 30, description="Beyond this, the least recently used answers go. Default 1GiB."
    )


class LedgerConfig(Section):
    """Where tokens and money are written down."""

    path: FilePath = Field(
        default=Path("~/.local/state/llmrouter/usage.db"), description="The SQLite file. Limits are counted beside it."
    )
    url: SecretText = Field(default=None, description="PostgreSQL instead, such as postgresql://user@host/name.")


class LoggingConfig(Section):
    """One line per call. Without this section the library is silent."""

    level: LogLevel = Field(default="INFO", description="The least level that is written.")
    prompts: Switch = Field(default=False, description="Also write what is sent. It may be private.")
    responses: Switch = Field(default=False, description="Also write what comes back. It may be private.")


class StateConfig(Section):
    """What is shared between processes, and where.

    Redis keeps cached answers, limits, spend limits, breakers and who is asking what, for many machines. Without it the
    processes of one machine share all of that; with `file:` they also count the failures of breakers together.
    """

    url: SecretText = Field(
        default=None, description="redis://localhost:6379/0 for many machines, or file: for the processes of this one."
    )


class RoutesConfig(Section):
    """The file routes.yaml: providers, defaults, and routes."""

    version: Version = Field(default=1, description="The version of this format.")
    providers: dict[str, ProviderConfig] = Field(
        default={}, description="Endpoints with credentials. openai, anthropic and google need no entry."
    )
    defaults: DefaultsConfig = Field(default=DefaultsConfig(), description="What every route inherits.")
    prices: dict[PricedTarget, PriceConfig] = Field(
        default={},
        description="USD per million tokens; wins over the built-in table. `*` stands for any part of a model's name.",
    )
    cache: CacheConfig = Field(default=CacheConfig(), description="Where cached answers live.")
    ledger: Annotated[
        LedgerConfig | None, BeforeValidator(off_is_none, json_schema_input_type=LedgerConfig | OffWord), _DUMP_OFF
    ] = Field(default=LedgerConfig(), description="Where tokens and money are written down; false keeps no ledger.")
    logging: LoggingConfig | None = Field(default=None, description="One line per call, on stderr.")
    telemetry: TelemetryConfig | None = Field(default=None, description="Spans and metrics for other systems.")
    state: StateConfig | None = Field(default=None, description="What many processes share, and where.")
    spend_limit: SpendLimitConfig | None = Field(
        default=None, description="A ceiling on the money of all routes together."
    )
    routes: dict[str, RouteConfig] = Field(default={}, description="Named policies: a call picks one by its name.")

    @property
    def state_url(self) -> str | None:
        """Where state is shared, with its password; None where it is not."""
        return None if self.state is None or self.state.url is None else self.state.url.reveal()
