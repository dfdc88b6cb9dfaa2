"""`llmrouter cassettes`: look after recorded answers. And how the other commands use a cassette."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from llmrouter.cli.opening import opened
from llmrouter.cli.outcome import FAILED, reported
from llmrouter.cli.output import tell, write
from llmrouter.cli.parameters import RoutesFile, Verbose
from llmrouter.errors import InvalidRequestError, LLMRouterError

if TYPE_CHECKING:
    from llmrouter.cassettes import Cassette
    from llmrouter.cassettes.use import Mode

cassettes = typer.Typer(help="Look after recorded answers.", no_args_is_help=True)

CassetteFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--cassette", metavar="FILE", help="Replay recorded answers: no key, no request. `record` writes them.",
        show_default=False,
    ),
]  # fmt: skip


@cassettes.callback()
def _group() -> None:
    pass  # typer would make the only command the group itself


@cassettes.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where the cassettes are.")] = Path("cassettes"),
    routes: RoutesFile = None,
    verbose: Verbose = False,
) -> None:
    """Find recordings that no longer match their route, secrets that slipped in, and files that nothing uses.

    Reads files only. Exit status 1 if there is anything to do.
    """
    with reported(verbose=verbose):
        if not folder.is_dir():
            raise InvalidRequestError(f"there is no folder {folder}; name the folder of the cassettes")
        from llmrouter.cassettes.check import check as look_through

        with opened(routes) as router:
            found = look_through(folder, router, Path.cwd())
        for each in found:
            write(f"{each}\n")
        if found:
            raise typer.Exit(FAILED)
        tell(f"{folder}: nothing to do")


@contextmanager
def used(path: Path | None, mode: Mode = "none", advice: str = "") -> Iterator[Cassette | None]:
    """Use the cassette `path` for a command, none for None. Raises LLMRouterError for a request that is not on it."""
    if path is None:
        yield None
        return
    from llmrouter.cassettes import CassetteMissError, use_cassette

    try:
        with use_cassette(path, mode, keep=True, rerecord=advice) as cassette:
            yield cassette
    except CassetteMissError as error:
        raise LLMRouterError(str(error)) from None
