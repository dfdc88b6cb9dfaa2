"""`llmrouter dashboard`: a page that shows the ledger, served on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from llmrouter.cli.opening import opened
from llmrouter.cli.outcome import reported
from llmrouter.cli.output import tell
from llmrouter.cli.parameters import RoutesFile, Verbose
from llmrouter.errors import ConfigError, InvalidRequestError


def dashboard(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0 takes a free one.")] = 8642,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen on this address; other machines' need --token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            envvar="LLMROUTER_DASHBOARD_TOKEN",
            show_envvar=False,
            help="What a visitor has to bring. Better set as $LLMROUTER_DASHBOARD_TOKEN: others see command lines.",
        ),
    ] = None,
    routes: RoutesFile = None,
    verbose: Verbose = False,
) -> None:
    """Show spend, calls, latency and limits on a page that keeps itself up to date."""
    with reported(verbose=verbose):
        try:
            from llmrouter.dashboard.app import application, is_loopback, listen, server
        except ImportError as error:
            raise ConfigError(str(error)) from None
        if not token and not is_loopback(host):
            raise InvalidRequestError(f"other machines can reach {host}: give the page a --token")
        with opened(routes) as router:
            router.ledger  # noqa: B018 - a file without one is told before anything listens
            try:
                listening = listen(host, port)
            except OSError as error:
                raise InvalidRequestError(f"{host}:{port} cannot be listened on: {error.strerror or error}") from None
            with listening:
                shown = f"[{host}]" if ":" in host else host
                tell(f"http://{shown}:{listening.getsockname()[1]}/ shows the ledger until Ctrl-C")
                try:
                    server(application(router, host, token or None)).run(sockets=[listening])
                except KeyboardInterrupt:  # how it is meant to end
                    tell("")
