"""`llmrouter record`: ask a route, and keep the answer for replay."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmrouter.cli.cassettes import used
from llmrouter.cli.opening import opened
from llmrouter.cli.outcome import reported
from llmrouter.cli.output import tell, write
from llmrouter.cli.parameters import PromptFile, PromptText, RouteName, RoutesFile, Verbose
from llmrouter.cli.prompt import as_message, read_prompt


def record(
    route: RouteName,
    cassette: Annotated[Path, typer.Option("--cassette", metavar="FILE", help="The cassette to write to.")],
    text: PromptText = None,
    file: PromptFile = None,
    image: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Send an image too; may be repeated.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Record the answer as a stream.")] = False,
    routes: RoutesFile = None,
    verbose: Verbose = False,
) -> None:
    """Ask ROUTE, print the answer, and record it in FILE, keys taken out.

    What FILE holds of other requests stays. `llmrouter chat ROUTE TEXT --cassette FILE` replays it.
    """
    with reported(verbose=verbose):
        message = as_message(read_prompt(text, file), image or ())
        with used(cassette, "all") as recorder, opened(routes, "debug" if verbose else "file") as router:
            if stream:
                with router.stream(route, message) as pieces:
                    for piece in pieces:
                        write(piece)
                write("\n")
            else:
                write(router.chat(route, message).content + "\n")
        assert recorder is not None  # noqa: S101 - a file was named
        tell(f"recorded {recorder.recorded} in {cassette}")
