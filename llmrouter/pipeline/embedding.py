"""Embeddings: the texts in batches of the provider's size, down the same chain as any call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from llmrouter.buckets import added
from llmrouter.errors import MalformedResponseError, UnsupportedError
from llmrouter.pipeline.call import Call
from llmrouter.pipeline.chain import Walk
from llmrouter.pipeline.guard import Admission, Result
from llmrouter.pipeline.plan import RungPlan, Timeouts
from llmrouter.pipeline.rung import raise_as_ours, read
from llmrouter.pipeline.settle import usd_of
from llmrouter.pipeline.unfinished import outcome_of_error
from llmrouter.providers.base import WireCall, WireReply, WireTimeouts
from llmrouter.types import Attempt, Embeddings, Message, Response, Usage

if TYPE_CHECKING:
    from llmrouter.pipeline.pipeline import Pipeline
    from llmrouter.tokens.counter import TokenCounter

BATCHES_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts for one request."""

    rung: RungPlan
    timeouts: Timeouts
    texts: tuple[str, ...]
    body: Mapping[str, Any]

    def prompt_tokens(self, counter: TokenCounter) -> int:
        """Return the tokens of all texts, counted or estimated."""
        return counter.factors.estimate(self.rung.target, sum(counter.count_text(text) for text in self.texts))

    def output_bound(self) -> int | None:
        """Return 0: vectors are not billed as output."""
        return 0


@dataclass(frozen=True, slots=True)
class Batches:
    """A rung that is ready to embed."""

    rung: RungPlan
    timeouts: Timeouts
    batches: tuple[Batch, ...]

    def prompt_tokens(self, counter: TokenCounter) -> int:
        """Return the tokens of all batches."""
        return sum(batch.prompt_tokens(counter) for batch in self.batches)

    def output_bound(self) -> int | None:
        """Return 0: vectors are not billed as output."""
        return 0


@dataclass(frozen=True, slots=True)
class Vectors:
    """What one batch came back as."""

    vectors: list[list[float]]
    usage: Usage
    cost_usd: float | None


def _batches(call: Call, texts: Sequence[str], dimensions: int | None, rung: RungPlan) -> Batches:
    codec = rung.provider.codec
    if codec.embed_batch < 1:
        raise UnsupportedError(
            f"{rung.target} has no embeddings: its provider offers none; use a route whose model is an embedding "
            "model, such as openai/text-embedding-3-small or google/gemini-embedding-001"
        )
    timeouts, size = call.timeouts(rung), codec.embed_batch
    slices = (tuple(texts[start : start + size]) for start in range(0, len(texts), size))
    batches = (Batch(rung, timeouts, part, codec.encode_embed(rung.model, part, dimensions)) for part in slices)
    return Batches(rung, timeouts, tuple(batches))


class Embedding:
    """Embeds texts; shared by all calls of one router."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def run(self, call: Call, texts: Sequence[str], dimensions: int | None) -> Embeddings:
        """Return one vector a text, in their order, all from the same rung."""
        pipeline = self._pipeline
        batches = partial(_batches, call, texts, dimensions)
        walk = Walk(pipeline.runtime, call, batches, pipeline.guards, recorder=pipeline.recorder)
        try:
            found = await walk.run(partial(self._rung, walk))
        except BaseException as error:
            pipeline.unanswered(walk, outcome_of_error(error), error, "embeddings")
            raise
        pipeline.answered(walk, _as_response(found), "embeddings")
        return found

    async def _rung(self, walk: Walk[Any], ready: Batches) -> Embeddings:
        asked = [partial(walk.attempt, batch, partial(self._once, walk)) for batch in ready.batches]
        done: list[Vectors] = await self._pipeline.runtime.gather(asked, at_once=BATCHES_AT_ONCE)
        costs = [each.cost_usd for each in done]
        return Embeddings(
            vectors=[vector for each in done for vector in each.vectors],
            model=ready.rung.model,
            target=ready.rung.target,
            route=walk.call.plan.name,
            usage=added(each.usage for each in done),
            cost_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
            latency_s=time.monotonic() - walk.started,
            attempts=tuple(walk.attempts),
        )

    async def _once(self, walk: Walk[Any], batch: Batch, limit_s: float, admission: Admission) -> Vectors:
        books = self._pipeline.books
        client, left_s = await self._pipeline.asking.client(walk, batch.rung, limit_s)
        timeouts = WireTimeouts(min(batch.timeouts.connect, left_s), left_s, left_s)
        wire = WireCall("embed", batch.rung.model, batch.body, timeouts)
        sent = self._pipeline.asking.sent(walk, batch, admission)
        try:
            try:
                reply = await self._pipeline.runtime.call(client.send, wire, within=left_s)
            except Exception as error:  # noqa: BLE001 - re-raised, in our terms where we know it
                raise_as_ours(batch.rung, error, "attempt", limit_s)
            vectors, usage = self._read(batch, reply)
        except BaseException as error:
            sent.failed(books, error)
            raise
        cost_nano = books.charge(batch.rung, usage)
        admission.settle(Result(usage=usage, cost_nano=cost_nano, headers=reply.headers))
        seconds = time.monotonic() - sent.started
        walk.add(Attempt(batch.rung.target, "ok", seconds=seconds, usage=usage, cost_nano=cost_nano))
        walk.report()  # not only at the end: the process may be killed before all batches are over
        return Vectors(vectors, usage, usd_of(cost_nano))

    def _read(self, batch: Batch, reply: WireReply) -> tuple[list[list[float]], Usage]:
        vectors, usage = read(batch.rung, batch.rung.provider.codec.decode_embed, reply)
        if usage.estimated and not usage.input_tokens:  # the provider reports none
            usage = Usage(uncached_tokens=batch.prompt_tokens(self._pipeline.counter), estimated=True)
        if len(vectors) != len(batch.texts):
            raise MalformedResponseError(
                f"{len(batch.texts)} texts were sent and {len(vectors)} vectors came back", target=batch.rung.target
            )
        return vectors, usage


def _as_response(found: Embeddings) -> Response[Any]:
    """Return vectors as observers see them: everything but the vectors."""
    return Response(
        content="",
        message=Message("assistant"),
        finish_reason="stop",
        provider_finish_reason=None,
        model=found.model,
        target=found.target,
        route=found.route,
        usage=found.usage,
        cost_usd=found.cost_usd,
        latency_s=found.latency_s,
        attempts=found.attempts,
    )
