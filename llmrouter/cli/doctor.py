"""`llmrouter doctor`: what works here, what does not, and what to do about each."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import typer

from llmrouter.cli.opening import NO_FILE, has_file, import_from_here
from llmrouter.cli.outcome import FAILED, reported
from llmrouter.cli.output import one_line, redacted, write, write_json, write_table
from llmrouter.cli.parameters import AsJson, RoutesFile, Verbose
from llmrouter.errors import ConfigError

if TYPE_CHECKING:
    from llmrouter.cli.probe import Probed
    from llmrouter.compile import Compiled
    from llmrouter.config.loader import Loaded
    from llmrouter.providers.base import Provider, ProviderSettings

State: TypeAlias = Literal["ok", "note", "attention"]

_PYTHON: Final = (3, 11)
_FREE_BYTES: Final = 100 * 2**20
_SKEW_S: Final = 60.0  # beyond this, signed requests and certificates begin to fail
_OTHERS: Final = 0o077
_WITHOUT_KEYS: Final = ("bedrock", "vertex", "litellm", "python")
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `area` and `subject` say of what, `said` what was found, `advice` what to do about it."""

    area: str
    subject: str
    state: State
    said: str
    advice: str | None = None


def doctor(
    routes: RoutesFile = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not look whether hosts can be reached.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Look at this installation: versions, file, keys, hosts, proxies, cache, ledger and clock.

    Nothing that costs money is sent, and no key leaves this machine. Exit status: 0 all is fine, 1 something needs
    attention.
    """
    with reported(verbose=verbose):
        findings = list(examine(routes, offline=offline))
        if as_json:
            fine = all(each.state != "attention" for each in findings)
            write_json({"ok": fine, "findings": [asdict(each) for each in findings]})
        else:
            _print(findings)
        if any(each.state == "attention" for each in findings):
            raise typer.Exit(FAILED)


def examine(routes: Path | None, *, offline: bool = False) -> Iterator[Finding]:
    """Give every finding, in the order of the areas. A broken file is a finding, and the rest goes on without it."""
    from llmrouter.compile import Compiled
    from llmrouter.config.loader import load
    from llmrouter.providers import registry

    yield from _versions()
    import_from_here()
    loaded = load({}, kinds=registry.names())
    compiled, named = Compiled(loaded), has_file(routes)
    if named:
        try:
            found = load(routes, kinds=registry.names())
            compiled, loaded = Compiled(found), found
            yield Finding("file", str(found.path), "ok", f"{len(found.config.routes)} routes")
        except ConfigError as error:
            for problem in error.problems:
                yield Finding("file", str(routes or "routes.yaml"), "attention", one_line(problem), "correct the file")
    else:
        yield Finding("file", "routes.yaml", "note", NO_FILE)
    providers = _used(compiled)
    yield from _keys(compiled, providers)
    yield from _proxies(providers)
    yield from _hosts(providers, offline=offline)
    yield from _paths(loaded)
    yield from _services(loaded, offline=offline)


def _print(findings: list[Finding]) -> None:
    rows = [(each.area, each.subject, each.state, redacted(each.said)) for each in findings]
    write_table(("area", "subject", "state", "found"), rows)
    todo = list(dict.fromkeys(each.advice for each in findings if each.advice is not None))
    write("\n" + ("To do:\n" + "".join(f"  {redacted(each)}\n" for each in todo) if todo else "All is fine.\n"))


# ------------------------------------------------------------------------------------------------ this installation


def _versions() -> Iterator[Finding]:
    import platform
    from importlib.metadata import PackageNotFoundError, requires, version

    enough = sys.version_info[:2] >= _PYTHON
    advice = None if enough else "install Python 3.11 or newer"
    yield Finding("python", platform.python_implementation(), _state(enough), platform.python_version(), advice)
    for requirement in sorted(requires("llmrouter") or ()):
        name, bounds = _requirement(requirement)
        if name is None:
            continue
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding("package", name, "attention", "is not installed", f"pip install '{name}{bounds}'")
            continue
        fits = _fits(found, bounds)
        yield Finding("package", name, _state(fits), found, None if fits else f"pip install '{name}{bounds}'")


def _requirement(text: str) -> tuple[str | None, str]:
    wanted, _, marker = text.partition(";")
    found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(.*)", wanted)
    return (None, "") if found is None or "extra" in marker else (found[1], found[2].strip())


def _fits(version: str, bounds: str) -> bool:
    """Whether a version is inside bounds such as `>=2.10,<3`, the only forms that llmrouter declares."""
    for bound in filter(None, bounds.split(",")):
        match = re.match(r"(>=|<)\s*(\S+)", bound.strip())
        if match is not None and (_numbers(version) >= _numbers(match[2])) != (match[1] == ">="):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", re.split(r"[^\d.]", version, maxsplit=1)[0])]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


# ------------------------------------------------------------------------------------------------ providers


def _used(compiled: Compiled) -> dict[str, Provider]:
    """Return the providers that the routes name, or the three usual ones where there is no route."""
    rungs = (rung for plan in compiled.plans.values() for rung in plan.rungs)
    used = {rung.provider.settings.name: rung.provider for rung in rungs}
    return used or {name: compiled.provider(name) for name in ("openai", "anthropic", "google")}


def _keys(compiled: Compiled, providers: dict[str, Provider]) -> Iterator[Finding]:
    """Look at each provider's key. Only a route of which no target can be asked needs attention."""
    reasons = {name: compiled.why_unusable(provider) for name, provider in providers.items()}
    for name, provider in providers.items():
        reason = reasons[name]
        said = _key_state(provider.settings) if reason is None else one_line(reason)
        yield Finding("key", name, "ok" if reason is None else "note", said)
    chains = {name: [rung.provider.settings.name for rung in plan.rungs] for name, plan in compiled.plans.items()}
    closed = {name: dict.fromkeys(chain) for name, chain in chains.items() if all(map(reasons.get, chain))}
    if not chains and all(reasons.values()):
        yield Finding("key", "any", "attention", "no provider can be asked", _one_of(compiled, providers))
    for name, chain in closed.items():
        fewest = min((each for each in closed.values() if each.keys() <= chain.keys()), key=len)
        advice = _one_of(compiled, {each: providers[each] for each in fewest})  # which opens this route as well
        yield Finding("route", name, "attention", "no target of it can be asked", advice)


def _one_of(compiled: Compiled, providers: dict[str, Provider]) -> str:
    """Return what to do so that one of these providers can be asked."""
    variables = {name: compiled.missing_key(provider)[:1] for name, provider in providers.items()}
    keys = [each for found in variables.values() for each in found]
    others = [
        f"{name}: {one_line(compiled.why_unusable(providers[name]) or '')}" for name in providers if not variables[name]
    ]
    ways = [f"set {_or(keys)} (environment or .env)"] if keys else []
    return "; or ".join((*ways, *others)) + ("; one of them is enough" if len(providers) > 1 else "")


def _or(words: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _key_state(settings: ProviderSettings) -> str:
    if settings.api_key or settings.token:
        return "set"
    return "not looked for: the cloud's own" if settings.kind in _WITHOUT_KEYS[:2] else "none needed"


def _proxies(providers: dict[str, Provider]) -> Iterator[Finding]:
    from llmrouter.cli.probe import without_password

    names = [name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    if names:
        yield Finding("proxy", "environment", "note", f"{', '.join(names)} set")
    for name, provider in providers.items():
        if provider.settings.proxy:
            yield Finding("proxy", name, "note", f"asked through {without_password(provider.settings.proxy)}")


def _hosts(providers: dict[str, Provider], *, offline: bool) -> Iterator[Finding]:
    from llmrouter.cli.probe import probe, probe_all
    from llmrouter.providers.registry import address

    if offline:
        yield Finding("host", "all", "note", "not looked for (--offline)")
        return
    urls = {name: address(provider.settings) for name, provider in providers.items()}
    jobs = {
        name: partial(probe, url, providers[name].settings.proxy, providers[name].settings.ca_bundle)
        for name, url in urls.items()
        if url is not None
    }
    found = probe_all(jobs)
    for name, probed in found.items():
        yield _host(name, probed)
    yield from _clock(found.values())


def _host(name: str, probed: Probed) -> Finding:
    if probed.failed is None:
        return Finding("host", name, "ok", f"{probed.place} answered in {probed.seconds:.2f}s")
    advice = "check the network, the proxy, and `base_url` of the provider"
    if probed.place.startswith(("127.", "localhost", "[::1]")):
        advice = "start the server, or correct `base_url` of the provider"
    elif "certificate" in probed.failed:
        advice = "set `ca_bundle` of the provider to the certificates of your proxy, or correct the clock"
    return Finding("host", name, "attention", probed.failed, f"{name}: {advice}")


def _clock(found: Iterable[Probed]) -> Iterator[Finding]:
    ahead = [each.clock_s for each in found if each.clock_s is not None]
    if not ahead:
        return
    off = sorted(ahead)[len(ahead) // 2]  # one host with a wrong clock is not our problem
    right = abs(off) <= _SKEW_S
    said = f"within {_SKEW_S:.0f}s of the providers'" if right else f"{abs(off):.0f}s {'slow' if off > 0 else 'fast'}"
    yield Finding("clock", "system", _state(right), said, None if right else "set the clock of this machine (NTP)")


# ------------------------------------------------------------------------------------------------ paths


def _paths(loaded: Loaded) -> Iterator[Finding]:
    config = loaded.config
    yield _path("cache", loaded.file(config.cache.dir), is_folder=True)
    if config.ledger is None:
        yield Finding("ledger", "usage", "note", "turned off")
    elif config.ledger.url is None:
        yield _path("ledger", loaded.file(config.ledger.path), is_folder=False)


def _services(loaded: Loaded, *, offline: bool) -> Iterator[Finding]:
    """Look whether the databases that the file names are listening."""
    from llmrouter.cli.probe import probe, probe_all

    ledger, state = loaded.config.ledger, loaded.config.state
    urls = {"ledger": ledger and ledger.url, "state": state and state.url}
    addresses = {area: url.reveal() for area, url in urls.items() if url and "://" in url.reveal()}
    found = probe_all({} if offline else {area: partial(probe, url) for area, url in addresses.items()})
    for area, probed in found.items():
        advice = f"{area}: start the database, or correct `{area}: {{ url }}` in the file"
        fine = probed.failed is None
        verdict = f"{probed.place} listens" if fine else str(probed.failed)
        yield Finding(area, "url", _state(fine), verdict, None if fine else advice)


def _path(area: str, path: Path, *, is_folder: bool) -> Finding:
    """Look at a place without making it: can it be written, who else can read it, is there room?"""
    try:
        return _examined(area, path, is_folder=is_folder)
    except OSError as error:
        said = f"cannot be looked at: {(error.strerror or str(error)).lower()}"
        return Finding(area, str(path), "attention", said, f"make {path} accessible, or name another place in the file")


def _examined(area: str, path: Path, *, is_folder: bool) -> Finding:
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if there == path and path.is_dir() != is_folder:
        said = f"is {'no folder' if is_folder else 'a folder'}"
        return Finding(area, str(path), "attention", said, f"remove {path}, or name another place in the file")
    if (there != path and not there.is_dir()) or not os.access(there, os.W_OK | (os.X_OK if there.is_dir() else 0)):
        advice = f"make {there} writable, or name another place in the file"
        return Finding(area, str(path), "attention", "cannot be written", advice)
    free = shutil.disk_usage(there).free
    if free < _FREE_BYTES:
        return Finding(area, str(path), "attention", f"only {free >> 20} MiB free", "make room on the disk")
    if there != path:
        return Finding(area, str(path), "ok", "will be made at its first use")
    mode = path.stat().st_mode & 0o777
    if os.name == "posix" and mode & _OTHERS:
        advice = f"chmod {'700' if is_folder else '600'} '{path}'"
        return Finding(area, str(path), "attention", f"others have access to it (mode {mode:04o})", advice)
    size = sum(each.stat().st_size for each in path.rglob("*") if each.is_file()) if is_folder else path.stat().st_size
    return Finding(area, str(path), "ok", f"writable, {size / 2**20:.1f} MiB")


def _state(fine: bool) -> State:
    return "ok" if fine else "attention"
