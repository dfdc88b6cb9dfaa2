"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

RoutesFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--routes", metavar="FILE", help="The routes file. Default: $LLMROUTER_ROUTES, then ./routes.yaml.",
        show_default=False,
    ),
]  # fmt: skip
Verbose: TypeAlias = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more on stderr; show where an unexpected error comes from.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RouteName: TypeAlias = Annotated[
    str, typer.Argument(metavar="ROUTE", help="A route of the file, or a target such as openai/gpt-6-luna.")
]
PromptText: TypeAlias = Annotated[
    str | None,
    typer.Argument(metavar="TEXT", help="The prompt. Joined before a file or piped text.", show_default=False),
]
PromptFile: TypeAlias = Annotated[
    str | None, typer.Option("--file", "-f", metavar="FILE", help="Read text from a file; - is stdin.")
]
