"""What llmrouter writes to the log: one line a call, through loguru, with the same facts bound as fields.

A library is silent until it is asked: llmrouter's own records are switched off until the file's `logging:` or
`enable_logging()` switches them on.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from loguru import logger

from llmrouter.units import show_usd

if TYPE_CHECKING:
    from llmrouter.pipeline.call import Call
    from llmrouter.types import Attempt, Response

FORMAT = "{time:YYYY-MM-DD HH:mm:ss} | {level} | {message}"

_sinks: list[int] = []

logger.disable("llmrouter")


def enable_logging(level: str = "INFO", sink: Any = None) -> None:
    """Switch on llmrouter's log lines from `level` up, written to `sink` (None: stderr) in one-line form.

    A second call replaces the first one's level and sink. loguru's start-up sink, if it is still there, keeps
    everything but our lines, so that none appears twice; sinks that you added receive ours too.
    """
    disable_logging()
    logger.enable("llmrouter")
    _share_default_sink()
    target = _to_stderr if sink is None else sink
    _sinks.append(logger.add(target, level=level.upper(), format=FORMAT, filter="llmrouter", colorize=False))


def disable_logging() -> None:
    """Silence llmrouter again."""
    while _sinks:
        logger.remove(_sinks.pop())
    logger.disable("llmrouter")


def _to_stderr(text: str) -> None:
    sys.stderr.write(text)  # looked up at each line: stderr may be redirected after logging was switched on


def _share_default_sink() -> None:
    try:
        logger.remove(0)
    except ValueError:  # already configured by the application
        return
    logger.add(sys.stderr, filter=lambda record: not str(record["name"]).startswith("llmrouter"))


def answered(call: Call, response: Response[Any], *, prompts: bool, responses: bool) -> None:
    """Log a call that has its answer."""
    line = _line(call.plan.name, response.target, response.usage, response.latency_s, response.cost_usd)
    logger.bind(
        route=call.plan.name,
        target=response.target,
        model=response.model,
        input_tokens=response.input_tokens,
        output_tokens=response.output_tokens,
        cost_usd=response.cost_usd,
        latency_s=response.latency_s,
        cached=response.cached,
        stale=response.stale,
        finish_reason=response.finish_reason,
        attempts=len(response.attempts),
        request_id=response.request_id,
        metadata=call.options.metadata,
    ).info("{} | {}", line, _status(call, response))
    if prompts:
        said = "\n".join(f"{message.role}: {message.text}" for message in call.messages)
        logger.bind(route=call.plan.name).info("{} prompt\n{}", call.plan.name, said)
    if responses:
        logger.bind(route=call.plan.name).info("{} answer\n{}", call.plan.name, response.content)


def failed(call: Call, error: BaseException, attempts: list[Attempt], seconds: float) -> None:
    """Log a call that ended without an answer."""
    name = type(error).__name__
    target = next((each.target for each in reversed(attempts)), "-")
    logger.bind(
        route=call.plan.name, target=target, error=name, latency_s=seconds, attempts=len(attempts),
        metadata=call.options.metadata,
    ).warning("{} | failed {}", _line(call.plan.name, target, None, seconds, 0.0), name)  # fmt: skip


def skipped(call: Call, attempts: tuple[Attempt, ...]) -> None:
    """Log which rungs were skipped on the way to an answer, and why."""
    for each in attempts:
        if each.outcome == "skipped":
            logger.bind(route=call.plan.name, target=each.target).info(
                "{} {} | skipped | {}", call.plan.name, each.target, each.reason
            )


def _line(route: str, target: str, usage: Any, seconds: float, cost_usd: float | None) -> str:
    counts = "0 in, 0 out" if usage is None else f"{usage.input_tokens} in, {usage.output_tokens} out"
    return f"{route} {target} | {counts} | {seconds:.2f}s | {show_usd(cost_usd)}"


def _status(call: Call, response: Response[Any]) -> str:
    if response.stale:
        return "stale"
    if response.cached:
        return "cached"
    targets = [rung.target for rung in call.plan.rungs]
    place = targets.index(response.target) + 1 if response.target in targets else 1
    return "ok" if place == 1 else f"fallback {place}/{len(targets)}"
