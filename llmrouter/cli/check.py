"""`llmrouter check`: is the file right, and what can be asked with it?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from llmrouter.cli.opening import NO_FILE, has_file, opened
from llmrouter.cli.outcome import FAILED, reported
from llmrouter.cli.output import one_line, write, write_table
from llmrouter.cli.parameters import RoutesFile, Verbose
from llmrouter.errors import ConfigError, ModelNotFoundError

if TYPE_CHECKING:
    from llmrouter.pipeline.plan import RungPlan
    from llmrouter.router import Router


OLD_AFTER_DAYS: Final = 90  # of prices


@dataclass(frozen=True, slots=True)
class Checked:
    """One rung as `check` shows it; `reason` says why it is not usable, None if it is."""

    route: str
    target: str
    reason: str | None
    priced: bool
    window: int | None

    @property
    def row(self) -> tuple[str, ...]:
        """The cells of its line in the table."""
        window = "unknown" if self.window is None else f"{self.window:,}"
        usable = "yes" if self.reason is None else "no"
        return self.route, self.target, usable, "yes" if self.priced else "no", window


def check(
    routes: RoutesFile = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 when a target cannot be used or has no price.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Check the routes file without any request.

    Every mistake is shown with its line and column (exit 2). A right file gives the table of its targets; a missing
    key is no mistake, because the target is then skipped.
    """
    with reported(verbose=verbose):
        if not has_file(routes):
            raise ConfigError(NO_FILE)
        if not report(routes) and strict:
            raise typer.Exit(FAILED)


def report(routes: Path | None) -> bool:
    """Print the table of the file's targets; return whether all can be used and have a price. Raises ConfigError."""
    with opened(routes) as router:
        found = _checked(router)
    if not router.routes:
        write("The file is right. It has no route: a call names its target, such as openai/gpt-6-luna.\n")
        return True
    write_table(("route", "target", "usable", "price", "window"), [each.row for each in found], frozenset({"window"}))
    write("\n")
    unusable = _unique((each.target, one_line(each.reason)) for each in found if each.reason is not None)
    unpriced = _unique((each.target, "give it one under `prices:`") for each in found if not each.priced)
    _list("Not usable, and skipped", unusable)
    _list("No price is known, so cost_usd is None", unpriced)
    write(aged(datetime.now(UTC).date()))
    dead = sorted({each.route for each in found} - {each.route for each in found if each.reason is None})
    if dead:
        write(f"No target at all is usable on: {', '.join(dead)}\n")
    write(f"The file is right. {_many(len(router.routes), 'route')}, {_many(len(unusable), 'target')} not usable.\n")
    return not unusable and not unpriced


def aged(today: date) -> str:
    """Return a warning where the newest price of the built-in table is old; "" where it is not, or has no date."""
    from llmrouter.model_table import table_info

    name, newest = table_info(today)
    if newest == "unknown" or (today - date.fromisoformat(newest)).days <= OLD_AFTER_DAYS:
        return ""
    return f"The prices of {name} are of {newest} and older: `llmrouter prices update` shows what has changed.\n\n"


def _checked(router: Router) -> list[Checked]:
    plans = {name: router.plan(name) for name in router.routes}
    return [
        Checked(name, rung.target, _reason(rung), rung.price is not None, rung.window)
        for name, plan in plans.items()
        for rung in plan.rungs
    ]


def _reason(rung: RungPlan) -> str | None:
    if rung.unusable is not None or rung.provider.settings.kind != "python":
        return rung.unusable
    from llmrouter.providers.python import resolve

    try:
        resolve(rung.model)
    except ModelNotFoundError as error:  # a misspelt function should not wait for the call that needs it
        return str(error)
    return None


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _unique(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(dict(pairs).items())


def _list(title: str, pairs: list[tuple[str, str]]) -> None:
    if pairs:
        write(f"{title}:\n" + "".join(f"  {target}: {reason}\n" for target, reason in pairs) + "\n")
