"""From the routes file to a Router, with the log as the command wants it."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from llmrouter.errors import InvalidRequestError, RouteNotFoundError

if TYPE_CHECKING:
    from llmrouter.router import Router

Log: TypeAlias = Literal["file", "debug", "silent"]

NO_FILE: Final = "there is no routes.yaml here; `llmrouter init` writes one"


@contextmanager
def opened(routes: Path | None, log: Log = "silent") -> Iterator[Router]:
    """Open a router and close it at the end.

    `log` is `file` (the level that the file says, INFO if it says none), `debug` (everything) or `silent`.
    Raises ConfigError with every mistake of the file. Where there is no file, asking for a route by name is an
    InvalidRequestError that says so.
    """
    import_from_here()
    from llmrouter.observe.log import disable_logging, enable_logging
    from llmrouter.observe.telemetry import keep_ports_closed
    from llmrouter.router import Router

    keep_ports_closed()
    if log != "silent":
        enable_logging("INFO")  # before the file is read: reading it may warn
    # A file may switch its log on by itself, and the first warning comes before we can switch it off.
    with redirect_stderr(io.StringIO()) if log == "silent" else nullcontext():
        router = Router(routes)
    if log == "debug":
        enable_logging("DEBUG")
    elif log == "silent":
        disable_logging()
    try:
        with router:
            yield router
    except RouteNotFoundError as error:
        if not router.routes and not has_file(routes) and "/" not in error.name:
            raise InvalidRequestError(
                f"no route named {error.name!r}; {NO_FILE} (targets such as openai/gpt-6-luna need none)"
            ) from None
        raise


def has_file(routes: Path | None) -> bool:
    """Whether there is a file that routes come from."""
    from llmrouter.config.loader import DEFAULT_FILE, FILE_VARIABLE

    return routes is not None or bool(os.environ.get(FILE_VARIABLE)) or Path(DEFAULT_FILE).is_file()


def import_from_here() -> None:
    """Let targets such as `python/my_module:function` be found in the working directory.

    It comes last, so that no file that happens to lie there can take the place of an installed module.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
