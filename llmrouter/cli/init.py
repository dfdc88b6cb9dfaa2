"""`llmrouter init`: a commented routes file to start from."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer

from llmrouter.cli.check import report
from llmrouter.cli.outcome import reported
from llmrouter.cli.output import save, tell
from llmrouter.cli.parameters import Verbose
from llmrouter.errors import InvalidRequestError

PROVIDERS: Final = ("openai", "anthropic", "google")

_FAST: Final = MappingProxyType(
    {"openai": "openai/gpt-6-luna", "anthropic": "anthropic/claude-haiku-5-5", "google": "google/gemini-3.8-flash"}
)
_STRONG: Final = MappingProxyType(
    {
        "anthropic": "anthropic/claude-sonnet-5-5",
        "openai": "openai/gpt-6.1-terra",
        "google": "google/gemini-3.8-flash",
    }
)
_VARIABLES: Final = MappingProxyType(
    {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "google": "GEMINI_API_KEY"}
)

_TEMPLATE: Final = """\
# yaml-language-server: $schema=./routes.schema.json
# The routes of your program. Code asks for a route by its name (router.chat("summarize", ...)); which model answers,
# how long it may take and what it may cost is decided here. `llmrouter check` reads this file without any request.
version: 1

# Keys come from {variables}, from the environment or a `.env` file beside this one.
# A provider without a key is skipped. Other endpoints are added like this:
#
# providers:
#   local: {{ kind: openai, base_url: http://127.0.0.1:11434/v1, api_key: "${{LOCAL_KEY:-unused}}" }}

# Every route inherits these; a route writes down only what it wants differently.
defaults:
  timeouts: {{ connect: 5s, attempt: 60s }}
  deadline: 2m                       # the whole call: every retry, wait and fallback
  retry: {{ attempts: 3 }}             # requests to one target, the first one included

# One line per call on stderr. Prompts and answers stay out of it until you say otherwise.
logging: {{ level: INFO, prompts: false, responses: false }}

routes:
  summarize:
    description: Short, factual summaries
    model: {fast}
    fallbacks:                       # tried in order when the one before fails, is too slow, or has no key
{fast_fallbacks}      - python/llmrouter.offline:summarize   # a Python function: no network, no key, the last resort
    system: Summarize for a busy reader, in at most five sentences. Add nothing.
    params: {{ max_tokens: 1000 }}
    token_budget: {{ input: 100k, overflow: truncate_middle }}   # a long text keeps its beginning and its end
    cache: {{ ttl: 24h, stale_if_error: 7d }}   # asked again within a day: no request; older answers only in need

  chat:
    description: A conversation
    model: {strong}
{strong_fallbacks}    system: You are a helpful assistant. Say so when you do not know.
    params: {{ max_tokens: 4000 }}
    timeouts: {{ first_token: 15s, idle: 20s, total: 5m }}   # a silent stream gives way to the next model
    token_budget: {{ input: 60k, overflow: drop_oldest }}    # the oldest turns go first, never the system prompt
"""


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")] = Path("routes.yaml"),
    provider: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="openai, anthropic or google; may be repeated. Default: those with a key."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    verbose: Verbose = False,
) -> None:
    """Write a routes file to start from, and check it.

    The JSON Schema by which editors complete it, routes.schema.json, is written beside it.

    On a terminal it asks which providers to use; else it takes those that have a key, or all where none has.
    """
    with reported(verbose=verbose):
        from llmrouter.config.schema import json_schema_text

        if file.exists() and not force:
            raise InvalidRequestError(f"{file} exists and is left as it is; --force overwrites it")
        unknown = [name for name in provider or () if name not in PROVIDERS]
        if unknown:
            raise InvalidRequestError(f"--provider {unknown[0]}: it is one of {_listed(PROVIDERS)}; add others by hand")
        chosen = tuple(dict.fromkeys(provider or ())) or _choice(_with_key(file.parent))
        save(starting_file(chosen), file)
        tell(f"wrote {file} for {', '.join(chosen)}")
        schema = file.with_name("routes.schema.json")
        save(json_schema_text(), schema)
        tell(f"wrote {schema}, by which an editor completes and checks it")
        report(file)


def starting_file(chosen: Collection[str]) -> str:
    """Return the text of a routes file that uses these of PROVIDERS."""
    fast = [target for name, target in _FAST.items() if name in chosen]
    strong = [target for name, target in _STRONG.items() if name in chosen]
    return _TEMPLATE.format(
        variables=_listed([_VARIABLES[name] for name in PROVIDERS if name in chosen]),
        fast=fast[0],
        fast_fallbacks="".join(f"      - {target}\n" for target in fast[1:]),
        strong=strong[0],
        strong_fallbacks=f"    fallbacks: [{', '.join(strong[1:])}]\n" if strong[1:] else "",
    )


def _choice(with_key: Sequence[str]) -> tuple[str, ...]:
    """Return what the user wants: asked on a terminal; else the providers that have a key, or all where none has."""
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        return tuple(with_key) or PROVIDERS
    wanted = tuple(name for name in PROVIDERS if _confirmed(name, with_key))
    if not wanted:
        raise InvalidRequestError("no provider was chosen, so there is nothing to write")
    return wanted


def _confirmed(name: str, with_key: Collection[str]) -> bool:
    state = "its key is set" if name in with_key else f"{_VARIABLES[name]} is not set"
    return typer.confirm(f"Use {name} ({state})?", default=not with_key or name in with_key, err=True)


def _with_key(folder: Path) -> list[str]:
    from llmrouter.config.environment import environment
    from llmrouter.providers import registry

    known: Mapping[str, str] = environment(folder, os.environ)
    return [name for name in PROVIDERS if registry.settings(name, None, known).api_key]


def _listed(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
