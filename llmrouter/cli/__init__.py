"""The command line: `llmrouter chat`, `check`, `explain` and the rest, one file per group of commands.

Answers go to stdout and everything else to stderr. Exit status: 0 done, 1 the call failed, 2 the file or the usage is
wrong, 130 interrupted. Starting up imports typer alone; what a command needs is imported when it runs.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit: the console script `llmrouter`, and `python -m llmrouter`."""
    _open_what_is_closed()
    try:
        from llmrouter.cli.app import app

        app(prog_name="llmrouter")
    except KeyboardInterrupt:  # while starting up or closing; commands answer for themselves
        sys.exit(130)


def _open_what_is_closed() -> None:
    """Open to nowhere the standard streams that we were started without (`>&-`).

    In their place Python has None, which cannot be written to, and the next file that is opened gets their number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - for good
