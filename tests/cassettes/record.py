"""Record `cassettes/` anew: `python -m tests.cassettes.record`, with the keys of OpenAI, Anthropic and Google set.

With `--emulator` the answers come from aimock instead, and cost nothing: that is what is committed. Names of scenarios
and examples (`routes/chat`, `examples/streaming`) record those alone.
"""

from __future__ import annotations

import inspect
import io
import os
import runpy
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2

from llmrouter import Router
from llmrouter.cassettes import transport, use_cassette
from llmrouter.cassettes.use import MODE_VARIABLE
from tests.cassettes.completed import complete
from tests.cassettes.scenarios import EXAMPLES, ROOT, SCENARIOS, Scenario
from tests.servers.aimock import find_aimock
from tests.worlds import Face


def record(scenario: Scenario, environ: Mapping[str, str]) -> None:
    """Ask as the scenario does, and write its cassette."""
    face = Face("sync")
    with use_cassette(scenario.path, "all"), face.router(scenario.source, environ=environ) as router:
        scenario.play(face, router)


def record_example(path: Path, environ: Mapping[str, str]) -> None:
    """Run an example, and write what it is answered to its cassette. One that awaits is asked for in order."""
    example = runpy.run_path(str(path))
    with patch.dict(os.environ, {**environ, MODE_VARIABLE: "all"}), redirect_stdout(io.StringIO()):
        if inspect.iscoroutinefunction(example["main"]):
            with use_cassette(example["RECORDING"]), Router(example["ROUTES"]) as router:
                for text in example["NEWS"]:
                    router.chat("headline", text)
        else:
            example["main"]()


@contextmanager
def surroundings(*, emulator: bool) -> Iterator[Mapping[str, str]]:
    """Give the environment that says where the providers are, and with which keys."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home  # no cache, no ledger and no learned factor of yours
        if not emulator:
            yield os.environ
            return
        with find_aimock() as server:
            names = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")
            with redirected(server.url):
                yield dict.fromkeys(names, "emulator-key")


@contextmanager
def redirected(url: str) -> Iterator[None]:
    """Send every request to the emulator at `url`, and complete its answers.

    The routers believe that they ask the provider itself. Another `base_url` would not do: a server that is not
    OpenAI's is spoken to in a more careful dialect.
    """
    send, server = transport._SYNC, httpx2.URL(url)

    def handle_request(self: Any, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme=server.scheme, host=server.host, port=server.port)
        response = send(self, request)
        complete(request, response)
        return response

    with patch.object(transport, "_SYNC", handle_request):
        yield


def main(arguments: Sequence[str]) -> None:
    """Record the scenarios that are named, all if none is."""
    names = [each for each in arguments if not each.startswith("-")]
    chosen = [each for each in SCENARIOS if not names or each.name in names]
    examples = [name for name in EXAMPLES if not names or f"examples/{name}" in names]
    with surroundings(emulator="--emulator" in arguments) as environ:
        for scenario in chosen:
            record(scenario, environ)
            sys.stdout.write(f"{scenario.name}\n")
        for name in examples:
            record_example(ROOT / "examples" / f"{name}.py", environ)
            sys.stdout.write(f"examples/{name}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
