"""The end of the corridor: judge an answer, price it, and learn from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmrouter import forks
from llmrouter.errors import (
    ContentFilterError,
    LengthError,
    OutputInvalidError,
    ProviderError,
    RefusalError,
)
from llmrouter.pipeline import playback
from llmrouter.pipeline.call import Call
from llmrouter.pipeline.plan import RungPlan
from llmrouter.pipeline.rung import Prepared, Ready
from llmrouter.tokens.rough import RoughCounter
from llmrouter.types import Completion, Usage

if TYPE_CHECKING:
    from llmrouter.tokens.counter import TokenCounter


def judge(call: Call, completion: Completion) -> Any:
    """Return the structured output of an answer, None without a schema.

    Raises ContentFilterError for a filtered answer, RefusalError or LengthError where the route's `on:` counts that
    finish as a failure, and OutputInvalidError for an answer that does not satisfy the schema.
    """
    reason, text = completion.finish_reason, completion.message.text
    if reason == "content_filter":
        filtered = ContentFilterError(f"the answer was blocked by the provider's policy ({_named(completion)})")
        filtered.partial = text
        raise _with_facts(filtered, completion)
    if reason in call.plan.actions.rejected:
        rejected = RefusalError("the model refused") if reason == "refusal" else LengthError("cut at max_tokens")
        rejected.partial = text
        raise _with_facts(rejected, completion)
    if call.schema is None or completion.message.tool_calls or reason == "refusal":
        return None
    from llmrouter.schema import validate

    try:
        return validate(call.schema, text)
    except OutputInvalidError as error:
        if reason == "length":
            error.problems = (*error.problems, "the answer was cut at max_tokens")
        raise _with_facts(error, completion) from None


def _named(completion: Completion) -> str:
    return completion.provider_finish_reason or completion.finish_reason


def _with_facts(error: ProviderError, completion: Completion) -> ProviderError:
    error.request_id = completion.request_id
    error.code = completion.provider_finish_reason
    error.body = completion.raw
    return error


class Books:
    """The money and tokens of one router: prices each attempt, keeps the total, teaches the token counter."""

    def __init__(self, counter: TokenCounter) -> None:
        self._counter, self._rough = counter, RoughCounter(counter)
        self._lock = forks.lock()
        self._total_nano = 0

    @property
    def total_usd(self) -> float:
        """USD spent by this router until now, unknown prices left out."""
        return self._total_nano / 1e9

    def usage(self, prepared: Prepared, completion: Completion) -> Usage:
        """Return the reported usage; where the provider reported none, an estimate."""
        reported = completion.usage
        if reported is None:
            return self.estimated(prepared, completion.message.text, completion.reasoning)
        measured = prepared.measured
        if measured is not None and not playback.in_use() and reported.input_tokens and not reported.estimated:
            self._counter.learn(prepared.rung.target, measured.counted, reported.input_tokens)
        return reported

    def estimated(self, prepared: Ready, text: str, reasoning: str | None = None) -> Usage:
        """Return the usage of an answer as far as it is known: counted, and flagged as estimated."""
        prompt = prepared.prompt_tokens(self._counter)
        hidden = self._counter.count_text(reasoning) if reasoning else 0
        answer = self._counter.count_text(text) + hidden
        return Usage(uncached_tokens=prompt, output_tokens=answer, reasoning_tokens=hidden, estimated=True)

    def at_least(self, prepared: Ready) -> Usage:
        """Return the usage of a request whose answer has not begun, from its length: too cheap to be exact."""
        return Usage(uncached_tokens=prepared.prompt_tokens(self._rough), estimated=True)

    def charge(self, rung: RungPlan, usage: Usage) -> int | None:
        """Add an attempt's price to the total and return it in nano-USD; None when it is unknown."""
        nano = rung.bill(usage)
        if nano is not None:
            with self._lock:
                self._total_nano += nano
        return nano


def usd_of(nano: int | None) -> float | None:
    """Return nano-USD as USD; None stays None."""
    return None if nano is None else nano / 1e9
