"""`llmrouter schema`: the JSON Schema of the routes file, for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmrouter.cli.outcome import reported
from llmrouter.cli.output import save, tell, write
from llmrouter.cli.parameters import Verbose


def schema(
    to: Annotated[Path | None, typer.Option("--write", metavar="FILE", help="Write it to a file.")] = None,
    verbose: Verbose = False,
) -> None:
    """Print the JSON Schema of the routes file.

    An editor completes and checks the file with it.
    """
    with reported(verbose=verbose):
        from llmrouter.config.schema import json_schema_text

        if to is None:
            write(json_schema_text())
        else:
            save(json_schema_text(), to)
            tell(f"wrote {to}; begin the routes file with `# yaml-language-server: $schema={to}`")
