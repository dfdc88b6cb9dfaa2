"""`llmrouter import`: a routes file from another program's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmrouter.cli.check import report
from llmrouter.cli.outcome import reported
from llmrouter.cli.output import save, tell, write
from llmrouter.cli.parameters import Verbose
from llmrouter.errors import InvalidRequestError


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A LiteLLM config.yaml, or a Portkey config as JSON.")],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Write it to a file, then check it. Default: stdout."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    verbose: Verbose = False,
) -> None:
    """Turn a LiteLLM proxy config or a Portkey config into a routes file.

    What has no counterpart is listed on stderr, with its place and what to do instead. Keys are never copied: a key
    that is written into FILE becomes ${NAME}.
    """
    with reported(verbose=verbose):
        from llmrouter.importing import convert

        if to is not None and to.exists() and not force:
            raise InvalidRequestError(f"{to} exists and is left as it is; --force overwrites it")
        found = convert(_text(file), str(file))
        if to is None:
            write(found.text)
        else:
            save(found.text, to)
            tell(f"wrote {to}")
        if found.notes:
            tell(f"{file}: {len(found.notes)} to look at")
        for note in found.notes:
            tell(f"  {note}")
        if to is not None:
            report(to)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidRequestError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise InvalidRequestError(f"{file} is not UTF-8 text") from None
