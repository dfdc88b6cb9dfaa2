"""`llmrouter chat`: ask a route, and print the answer."""

from __future__ import annotations

import io
import sys
from contextlib import nullcontext, redirect_stderr
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from llmrouter.cli.cassettes import CassetteFile, used
from llmrouter.cli.opening import Log, opened
from llmrouter.cli.outcome import reported
from llmrouter.cli.output import plain_data, tell, usage_as_dict, write, write_json
from llmrouter.cli.parameters import AsJson, PromptFile, PromptText, RouteName, RoutesFile, Verbose
from llmrouter.cli.prompt import as_message, read_prompt
from llmrouter.errors import InvalidRequestError

if TYPE_CHECKING:
    from llmrouter.pipeline.options import ChatOptions
    from llmrouter.router import Router
    from llmrouter.types import Attempt, Response


def chat(
    route: RouteName,
    text: PromptText = None,
    file: PromptFile = None,
    image: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Send an image too; may be repeated.")] = None,
    stream: Annotated[
        bool | None, typer.Option("--stream/--no-stream", help="Print as it comes. Default: on a terminal.")
    ] = None,
    as_json: AsJson = False,
    system: Annotated[str | None, typer.Option(help="Replace the route's system prompt.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is the most predictable, 2 the most varied.")] = None,
    max_tokens: Annotated[int | None, typer.Option(metavar="N", help="Most tokens to generate.")] = None,
    timeout: Annotated[str | None, typer.Option(metavar="TIME", help="Limit of one attempt, such as 20s.")] = None,
    deadline: Annotated[str | None, typer.Option(metavar="TIME", help="Limit of the whole call, such as 2m.")] = None,
    cache: Annotated[
        Literal["use", "refresh", "bypass", "only"] | None, typer.Option(help="What to do with the route's cache.")
    ] = None,
    cassette: CassetteFile = None,
    routes: RoutesFile = None,
    verbose: Verbose = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No log on stderr; errors only.")] = False,
) -> None:
    """Ask ROUTE and print the answer.

    The prompt is TEXT, a file, what is piped in, or TEXT followed by one of these.
    """
    options: ChatOptions = {
        "system": system, "temperature": temperature, "max_tokens": max_tokens,
        "timeout": timeout, "deadline": deadline, "cache": cache,
    }  # fmt: skip
    with reported(verbose=verbose):
        if as_json and stream:
            raise InvalidRequestError("--json prints one object at the end; leave out --stream")
        message = as_message(read_prompt(text, file), image or ())
        advice = f"To record it: llmrouter record {route} TEXT --cassette {cassette}"
        log: Log = "debug" if verbose else "silent" if quiet else "file"
        streamed = sys.stdout.isatty() if stream is None else stream
        ask = _as_json if as_json else _stream if streamed else _whole
        with used(cassette, advice=advice), opened(routes, log) as router:
            ask(router, route, message, options)


def _as_json(router: Router, route: str, message: Any, options: ChatOptions) -> None:
    write_json(as_dict(router.chat(route, message, **options)))


def _whole(router: Router, route: str, message: Any, options: ChatOptions) -> None:
    response = router.chat(route, message, **options)
    _end_line(response.content)
    _remark(response)


def _stream(router: Router, route: str, message: Any, options: ChatOptions) -> None:
    answer = _OpenLine()
    apart = sys.stdout.isatty() and sys.stderr.isatty()  # one screen: a line of the log must not end up in the answer
    with (
        answer,
        redirect_stderr(_Apart(sys.stderr, answer)) if apart else nullcontext(),
        router.stream(route, message, **options) as pieces,
    ):
        for piece in pieces:
            answer.write(piece)
    _remark(pieces.response)


class _OpenLine:
    """Text on stdout whose last line is ended at the end, also after an error or Ctrl-C."""

    _open = False

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.end()

    def write(self, piece: str) -> None:
        if piece:
            self._open = not piece.endswith("\n")  # first: Ctrl-C may come before `write` returns
            write(piece)

    def end(self) -> None:
        if self._open:
            self.write("\n")


class _Apart(io.TextIOBase):
    """A stderr whose lines start on their own."""

    def __init__(self, stderr: TextIO, answer: _OpenLine) -> None:
        self._stderr, self._answer = stderr, answer

    def write(self, text: str) -> int:
        self._answer.end()
        return self._stderr.write(text)

    def flush(self) -> None:
        self._stderr.flush()


def _end_line(content: str) -> None:
    if content:
        write(content if content.endswith("\n") else content + "\n")


def _remark(response: Response[Any]) -> None:
    """Say on stderr what an answer's text does not show."""
    if response.finish_reason == "length":
        tell("note: the answer was cut at its token limit; raise it with --max-tokens")
    elif response.finish_reason == "refusal":
        tell("note: the model refused")
    elif response.finish_reason == "content_filter":
        tell("note: the answer was cut by the provider's content filter")
    if response.stale:
        tell("note: every target failed; this is an older answer from the cache")


def as_dict(response: Response[Any]) -> dict[str, Any]:
    """Return a response as the one JSON object of `--json`."""
    return {
        "content": response.content,
        "parsed": plain_data(response.parsed),
        "tool_calls": [_call_as_dict(call) for call in response.tool_calls],
        "finish_reason": response.finish_reason,
        "model": response.model,
        "target": response.target,
        "route": response.route,
        "usage": usage_as_dict(response.usage),
        "cost_usd": response.cost_usd,
        "cached": response.cached,
        "stale": response.stale,
        "latency_s": response.latency_s,
        "request_id": response.request_id,
        "attempts": [_attempt_as_dict(attempt) for attempt in response.attempts],
    }


def _call_as_dict(call: Any) -> dict[str, Any]:
    try:
        arguments = call.arguments
    except InvalidRequestError:  # the model wrote no JSON; its text is there all the same
        arguments = None
    return {"id": call.id, "name": call.name, "arguments": arguments, "arguments_json": call.arguments_json}


def _attempt_as_dict(attempt: Attempt) -> dict[str, Any]:
    error = attempt.error
    return {
        "target": attempt.target,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "error": None if error is None else {"type": type(error).__name__, "message": str(error)},
        "seconds": attempt.seconds,
        "waited_s": attempt.waited_s,
        "usage": usage_as_dict(attempt.usage),
        "cost_usd": attempt.cost_usd,
        "request_id": attempt.request_id,
    }
