"""`llmrouter usage`: calls, tokens and money, from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmrouter.cli.opening import opened
from llmrouter.cli.outcome import reported
from llmrouter.cli.output import tell, write, write_table
from llmrouter.cli.parameters import AsJson, RoutesFile, Verbose
from llmrouter.errors import InvalidRequestError

if TYPE_CHECKING:
    from llmrouter.usage import UsageReport


def usage(
    by: Annotated[
        str,
        typer.Option(
            metavar="GROUP",
            help="hour, day, week, month (in UTC), route, target, model, provider, outcome, or tag:NAME.",
        ),
    ] = "day",
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="A date such as 2026-11-20, or how long ago, such as 7d.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="The end, as --since; not included.")] = None,
    route: Annotated[str | None, typer.Option(metavar="NAME", help="Of this route only.")] = None,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw the cost, or where nothing cost, the calls (extra: plot).")
    ] = False,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    routes: RoutesFile = None,
    verbose: Verbose = False,
) -> None:
    """Show what was used and paid: calls, attempts, tokens, cost, cache hits and latency."""
    with reported(verbose=verbose), opened(routes) as router:
        if as_json and as_csv:
            raise InvalidRequestError("choose one of --json and --csv")
        report = router.usage(since, until, by, route=route)
        if as_json:
            write(report.to_json() + "\n")
        elif as_csv:
            write(report.to_csv())
        elif plot and report.rows:
            _plot(report)
        else:
            _table(report)
        if not report.rows:
            tell("nothing was recorded in that time")


def _table(report: UsageReport) -> None:
    header, *rows = report.table
    write_table(header, rows, frozenset(header[1:]))
    for note in report.notes:
        tell(note)


def _plot(report: UsageReport) -> None:
    """Draw the cost of each group; where nothing cost anything, its calls."""
    from llmrouter.cli.plot import Bar, drawn
    from llmrouter.units import show_usd

    if report.total.cost_nano:
        bars = [Bar(row.key, row.cost_nano, show_usd(row.cost_usd)) for row in report.rows]
    else:
        bars = [Bar(row.key, row.calls, f"{row.calls:,}") for row in report.rows]
    title = f"{'cost' if report.total.cost_nano else 'calls'} by {report.by}"
    write(drawn(title, bars, "0", max(bars, key=lambda bar: bar.size).text))
    for note in report.notes:
        tell(note)
