"""`llmrouter prices`: what each target of the file costs, where that is from, and what has changed since."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from llmrouter.cli.opening import opened
from llmrouter.cli.outcome import reported
from llmrouter.cli.output import one_line, tell, write, write_json, write_table
from llmrouter.cli.parameters import AsJson, RoutesFile, Verbose
from llmrouter.errors import LLMRouterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmrouter.pipeline.plan import RungPlan
    from llmrouter.prices import Price
    from llmrouter.router import Router

_BUCKETS: Final = ("input", "output", "cache_read", "cache_write")

prices = typer.Typer(help="Show prices, and compare them with the newest ones.", invoke_without_command=True)


@prices.callback()
def show(context: typer.Context, as_json: AsJson = False, routes: RoutesFile = None, verbose: Verbose = False) -> None:
    """Show the price of each target of the file, in USD per million tokens, and where it is from."""
    if context.invoked_subcommand is not None:
        return
    with reported(verbose=verbose), opened(routes) as router:
        from llmrouter.model_table import table_info

        name, newest = table_info()
        found = _targets(router)
        if as_json:
            priced = [{"target": target, **_as_dict(rung.price)} for target, rung in found.items()]
            write_json({"table": name, "newest_price": newest, "prices": priced})
            return
        if found:
            header = ("target", "$ in", "$ out", "$ cached", "$ written", "source")
            write_table(header, [_row(target, rung.price) for target, rung in found.items()], frozenset(header[1:5]))
            write("\n")
        write(f"The built-in table is that of {name}; its newest price is of {newest}.\n")


@prices.command()
def update(
    url: Annotated[str | None, typer.Option(metavar="URL", help="Where to look. Default: the project's own.")] = None,
    routes: RoutesFile = None,
    verbose: Verbose = False,
) -> None:
    """Fetch the newest table and print what differs, as `prices:` for the routes file.

    Nothing is changed: a bill that comes out differently from one day to the next should be somebody's decision.
    """
    with reported(verbose=verbose), opened(routes) as router:
        before = {target: _built_in(rung) for target, rung in _targets(router).items()}
        with _newest(url):
            after = {target: _built_in(rung) for target, rung in _targets(router).items()}
    changed = {target: price for target, price in after.items() if price is not None and price != before[target]}
    if changed:
        write("prices:\n" + "".join(f"  {target}: {_yaml(price)}\n" for target, price in changed.items()))
    else:
        tell("the prices of the file's targets are those of the newest table")


@contextmanager
def _newest(url: str | None) -> Iterator[None]:
    """Look prices up in the table as it is on the net now. Raises LLMRouterError when it cannot be had."""
    from genai_prices import UpdatePrices
    from genai_prices.data_snapshot import set_custom_snapshot

    tell("fetching the newest prices")
    try:
        snapshot = (UpdatePrices() if url is None else UpdatePrices(url=url)).fetch()
    except Exception as error:  # httpx's errors, and those of data in another form
        said = f"{type(error).__name__}: {one_line(error)}".removesuffix(": ")
        raise LLMRouterError(f"the newest prices cannot be fetched: {said}") from error
    set_custom_snapshot(snapshot)
    try:
        yield
    finally:
        set_custom_snapshot(None)


def _targets(router: Router) -> dict[str, RungPlan]:
    return {rung.target: rung for name in router.routes for rung in router.plan(name).rungs}


def _built_in(rung: RungPlan) -> Price | None:
    """Return what the table says now, without the file's own prices."""
    from llmrouter.prices import PriceTable

    settings = rung.provider.settings
    price = PriceTable().resolve(rung.target, kind=settings.kind, base_url=settings.base_url)
    return None if price is None else replace(price, until=None)


def _row(target: str, price: Price | None) -> tuple[str, ...]:
    if price is None:
        return target, "?", "?", "?", "?", "unknown; give it one under `prices:`"
    source = f"{price.source}, dearer above {price.tiers[0][0]:,} tokens" if price.tiers else price.source
    return target, *(f"{getattr(price, bucket).normalize():f}" for bucket in _BUCKETS), source


def _as_dict(price: Price | None) -> dict[str, Any]:
    if price is None:
        return {**dict.fromkeys(_BUCKETS), "source": None}
    return {**{bucket: float(getattr(price, bucket)) for bucket in _BUCKETS}, "source": price.source}


def _yaml(price: Price) -> str:
    fields = ", ".join(f"{bucket}: {getattr(price, bucket).normalize():f}" for bucket in _BUCKETS)
    tiers = "  # and dearer for long prompts: `pip install -U genai-prices` knows how" if price.tiers else ""
    return f"{{ {fields} }}{tiers}"
