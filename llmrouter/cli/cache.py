"""`llmrouter cache`: the answers that are kept, on disk or in the Redis of `state.url`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from llmrouter.cli.outcome import reported
from llmrouter.cli.output import write, write_json
from llmrouter.cli.parameters import AsJson, RoutesFile, Verbose

if TYPE_CHECKING:
    from llmrouter.store.opening import AnswerCache

cache = typer.Typer(help="Look at, empty or tidy up the cache of answers.", no_args_is_help=True)


@cache.command()
def stats(as_json: AsJson = False, routes: RoutesFile = None, verbose: Verbose = False) -> None:
    """Show where the cache is, and how much is in it."""
    with reported(verbose=verbose), _opened(routes) as store:
        found = asdict(store.stats())
        del found["hits"], found["misses"]  # of this process, which has asked for nothing
        if as_json:
            write_json(found)
        else:
            most = "" if found["size_limit"] is None else f" of at most {_size(found['size_limit'])}"
            write(f"{found['directory']}\n{_entries(found['entries'])}, {_size(found['bytes'])}{most}\n")


@cache.command()
def clear(routes: RoutesFile = None, verbose: Verbose = False) -> None:
    """Remove every answer from the cache."""
    with reported(verbose=verbose), _opened(routes) as store:
        write(f"removed {_entries(store.clear())}\n")


@cache.command()
def prune(routes: RoutesFile = None, verbose: Verbose = False) -> None:
    """Remove answers that are too old, then the oldest until the size limit holds."""
    with reported(verbose=verbose), _opened(routes) as store:
        write(f"removed {_entries(store.prune())}\n")


@contextmanager
def _opened(routes: Path | None) -> Iterator[AnswerCache]:
    """Open the cache that the file names. It never raises for the state of the store; its warnings go to the log."""
    from llmrouter.config.loader import load
    from llmrouter.observe.log import enable_logging
    from llmrouter.providers import registry
    from llmrouter.store.opening import open_cache

    enable_logging("WARNING")
    loaded = load(routes, kinds=registry.names())
    section = loaded.config.cache
    store = open_cache(loaded.config.state_url, loaded.file(section.dir), section.size_limit)
    try:
        yield store
    finally:
        store.close()


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
