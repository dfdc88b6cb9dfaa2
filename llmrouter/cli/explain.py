"""`llmrouter explain`: what a call would do, without any request."""

from __future__ import annotations

import dataclasses
from typing import Final

from llmrouter.cli.opening import opened
from llmrouter.cli.outcome import reported
from llmrouter.cli.output import write, write_json, write_table
from llmrouter.cli.parameters import AsJson, PromptFile, PromptText, RouteName, RoutesFile, Verbose
from llmrouter.cli.prompt import read_prompt

_NUMBERS: Final = frozenset(("tokens", "attempts", "worst time", "worst cost"))


def explain(
    route: RouteName,
    text: PromptText = None,
    file: PromptFile = None,
    as_json: AsJson = False,
    routes: RoutesFile = None,
    verbose: Verbose = False,
) -> None:
    """Show what a call to ROUTE would do.

    For each target: its tokens, worst-case time and cost, and whether the cache has the answer. Nothing is sent.
    Without a prompt, an empty one is explained.
    """
    with reported(verbose=verbose), opened(routes) as router:
        plan = router.explain(route, read_prompt(text, file))
        if as_json:
            write_json(dataclasses.asdict(plan))
        else:
            header, *rows = plan.rows
            write(f"{plan.title}\n")
            write_table(header, rows, _NUMBERS)
