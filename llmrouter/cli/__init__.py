"""The command line: `llmrouter chat`, `check`, `explain` and the rest, one file per group of commands.

Answers go to stdout and everything else to stderr. Exit status: 0 done, 1 the call failed, 2 the file or the usage is
wrong, 130 interrupted. Starting up imports typer alone; what a command needs is imported when it runs.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit: the console script `llmrouter`, and `python -m llmrouter`."""
    try:
        from llmrouter.cli.app import app

        app(prog_name="llmrouter")
    except KeyboardInterrupt:  # while starting up or closing; commands answer for themselves
        sys.exit(130)
