"""`llmrouter routes` and `llmrouter models`: what there is to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from llmrouter.cli.opening import NO_FILE, has_file, opened
from llmrouter.cli.outcome import reported
from llmrouter.cli.output import one_line, tell, write_json, write_table
from llmrouter.cli.parameters import AsJson, RoutesFile, Verbose

if TYPE_CHECKING:
    from llmrouter.catalogue import ModelInfo
    from llmrouter.router import Router

_ALIASES: Final = {"vision": "images", "image": "images", "json": "schema", "pdf": "documents"}


def routes(as_json: AsJson = False, routes: RoutesFile = None, verbose: Verbose = False) -> None:
    """List the routes of the file and their targets."""
    with reported(verbose=verbose), opened(routes) as router:
        found = [(name, route.description, route.targets) for name, route in router.routes.items()]
        if not has_file(routes):
            tell(NO_FILE)
        if as_json:
            write_json(
                [{"name": name, "description": description, "targets": chain} for name, description, chain in found]
            )
        elif found:
            write_table(
                ("route", "description", "targets"),
                [(name, one_line(description), ", ".join(chain)) for name, description, chain in found],
            )


def models(
    provider: Annotated[str | None, typer.Option(metavar="NAME", help="Of this provider only.")] = None,
    needs: Annotated[
        str | None, typer.Option(metavar="WORDS", help="What it must be able to do, such as vision,tools,schema.")
    ] = None,
    max_input_price: Annotated[
        float | None, typer.Option(metavar="USD", help="Most USD for a million input tokens.")
    ] = None,
    min_context: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="Smallest context window, such as 128k.")
    ] = None,
    budget: Annotated[
        Literal["low", "medium", "high"] | None,
        typer.Option(help="The cheapest third of what fits, two thirds, or all."),
    ] = None,
    as_json: AsJson = False,
    routes: RoutesFile = None,
    verbose: Verbose = False,
) -> None:
    """List known models, their prices and abilities.

    With a filter: only current models that are known to fit, of providers that have a key (of all, where none has),
    the cheapest first. Prices are USD per million tokens.
    """
    with reported(verbose=verbose), opened(routes) as router:
        if any(filter_ is not None for filter_ in (needs, max_input_price, min_context, budget)):
            found = _fitting(router, provider, needs, max_input_price, min_context, budget)
        else:
            found = router.models(provider)
        if as_json:
            write_json([_as_dict(info) for info in found])
        elif found:
            header = ("model", "context", "output", "$ in", "$ out", "can")
            write_table(header, [_row(info) for info in found], frozenset(header[1:5]))
        if not found:
            tell("no model is known that fits")


def _fitting(
    router: Router,
    provider: str | None,
    needs: str | None,
    max_input_price: float | None,
    min_context: str | None,
    budget: str | None,
) -> list[ModelInfo]:
    words = [word.strip().lower() for word in (needs or "").split(",") if word.strip()]
    found = router.recommend([_ALIASES.get(word, word) for word in words], budget, max_input_price, min_context)
    listed = {info.target for info in router.models(provider)}
    return [info for info in found if info.target in listed]


def _row(info: ModelInfo) -> tuple[str, ...]:
    price = info.price
    prices = ("?", "?") if price is None else (f"{price.input:.2f}", f"{price.output:.2f}")
    abilities = "?" if info.capabilities is None else ", ".join(sorted(_abilities(info)))
    name = f"{info.target} (deprecated)" if info.deprecated else info.target
    return name, _tokens(info.context_window), _tokens(info.max_output_tokens), *prices, abilities


def _abilities(info: ModelInfo) -> frozenset[str]:
    return frozenset(word for word in info.capabilities or () if not word.startswith("temperature"))


def _tokens(tokens: int | None) -> str:
    return "?" if tokens is None else f"{tokens:,}"


def _as_dict(info: ModelInfo) -> dict[str, Any]:
    price = info.price
    return {
        "target": info.target,
        "provider": info.provider,
        "model": info.model,
        "context_window": info.context_window,
        "max_output_tokens": info.max_output_tokens,
        "input_usd_per_mtok": None if price is None else float(price.input),
        "output_usd_per_mtok": None if price is None else float(price.output),
        "price_source": None if price is None else price.source,
        "capabilities": None if info.capabilities is None else sorted(info.capabilities),
        "deprecated": info.deprecated,
    }
