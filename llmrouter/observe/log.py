"""What llmrouter writes to the log: one line a call, through loguru, with the same facts bound as fields.

A library is silent until it is asked: llmrouter's own records are switched off until the file's `logging:` or
`enable_logging()` switches them on.
"""

from __future__ import annotations

import sys
from collections.abc import Container
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from llmrouter.units import show_usd

if TYPE_CHECKING:
    from llmrouter.pipeline.observer import Ended
    from llmrouter.types import Response, Usage

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


_lazily: Final = logger.opt(lazy=True)  # most programs have not switched the log on


class LogObserver:
    """Writes a line for each call, and for each rung that was skipped on its way.

    `told` are reasons that the log has given already, and that need no line in every call.
    """

    def __init__(self, *, prompts: bool = False, responses: bool = False, told: Container[str | None] = ()) -> None:
        self._prompts, self._responses, self._told = prompts, responses, told

    def ended(self, end: Ended) -> None:
        """Write the lines of a call that is over."""
        route = end.call.plan.name
        for each in end.attempts:
            if each.outcome == "skipped" and each.reason not in self._told:
                logger.bind(route=route, target=each.target).info(
                    "{} {} | skipped | {}", route, each.target, each.reason
                )
        if end.response is None:
            _unanswered(end)
        else:
            _answered(end, end.response)
        if self._prompts:
            prompt = "\n".join(f"{message.role}: {message.text}" for message in end.call.messages)
            logger.bind(route=route).info("{} prompt\n{}", route, prompt)
        if self._responses and end.response is not None:
            logger.bind(route=route).info("{} answer\n{}", route, end.response.content)


def _answered(end: Ended, response: Response[Any]) -> None:
    def line() -> str:
        text = _line(response.route, response.target, response.usage, response.latency_s, response.cost_usd)
        return f"{text} | {_status(end, response)}"

    def bound(record: Any) -> None:
        record["extra"].update(
            route=response.route,
            target=response.target,
            model=response.model,
            outcome=end.outcome,
            input_tokens=response.input_tokens,
            output_tokens=response.output_tokens,
            cost_usd=response.cost_usd,
            latency_s=response.latency_s,
            finish_reason=response.finish_reason,
            attempts=len(response.attempts),
            request_id=response.request_id,
            metadata=end.call.options.metadata,
        )

    _lazily.patch(bound).info("{}", line)


def _unanswered(end: Ended) -> None:
    status = f"failed {type(end.error).__name__}" if end.outcome == "failed" else end.outcome
    last = next((each for each in reversed(end.attempts) if each.outcome != "skipped"), None)
    target = last.target if last is not None else "-"
    cost_usd = sum(each.cost_usd for each in end.attempts if each.cost_usd is not None)
    line = _line(end.call.plan.name, target, last.usage if last is not None else None, end.seconds, cost_usd)
    logger.bind(
        route=end.call.plan.name,
        target=target,
        outcome=end.outcome,
        error=type(end.error).__name__ if end.error is not None else None,
        latency_s=end.seconds,
        attempts=len(end.attempts),
        metadata=end.call.options.metadata,
    ).warning("{} | {}", line, status)


def _line(route: str, target: str, usage: Usage | None, seconds: float, cost_usd: float | None) -> str:
    counts = "0 in, 0 out" if usage is None else f"{usage.input_tokens} in, {usage.output_tokens} out"
    return f"{route} {target} | {counts} | {seconds:.2f}s | {show_usd(cost_usd)}"


def _status(end: Ended, response: Response[Any]) -> str:
    if end.outcome != "ok":
        return end.outcome
    targets = [rung.target for rung in end.call.plan.rungs]
    place = targets.index(response.target) + 1
    return "ok" if place == 1 else f"fallback {place}/{len(targets)}"
