"""The commands, put together."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

import llmrouter
from llmrouter.cli.cache import cache
from llmrouter.cli.cassettes import cassettes
from llmrouter.cli.catalogue import models, routes
from llmrouter.cli.chat import chat
from llmrouter.cli.check import check
from llmrouter.cli.dashboard import dashboard
from llmrouter.cli.doctor import doctor
from llmrouter.cli.explain import explain
from llmrouter.cli.importing import import_file
from llmrouter.cli.init import init
from llmrouter.cli.prices import prices
from llmrouter.cli.record import record
from llmrouter.cli.schema import schema
from llmrouter.cli.usage import usage

app = typer.Typer(
    help="Named LLM routes in a YAML file: fallbacks, retries, budgets, caching and prices, behind one call.",
    epilog="Answers go to stdout, everything else to stderr. "
    "Exit status: 0 done, 1 the call failed, 2 the file or the usage is wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout is not None and sys.stdout.isatty() else None,  # plain, and faster, in a pipe
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (chat, check, explain, routes, models, usage, schema, init, record):
    app.command()(command)
app.command("import")(import_file)
app.command()(doctor)
app.command()(dashboard)
app.add_typer(cache, name="cache")
app.add_typer(prices, name="prices")
app.add_typer(cassettes, name="cassettes")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llmrouter {llmrouter.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows "?", and never fails
