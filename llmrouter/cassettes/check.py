"""Looks through a folder of cassettes for what has gone stale, what should not be in them, and what nobody uses.

Everything is read from the files: no request is made, and no test is run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llmrouter.cassettes.scrub import Scrubber, leaks, secret_variables
from llmrouter.errors import LLMRouterError

if TYPE_CHECKING:
    from llmrouter.pipeline.plan import RoutePlan, RungPlan
    from llmrouter.router import Router

# What a call brings along; the rest of a request's body is what its route decides.
_OF_THE_CALL: Final = frozenset(
    ("messages", "input", "contents", "system", "systemInstruction", "instructions", "tools", "tool_choice",
     "toolConfig", "tool_config", "parallel_tool_calls", "stream", "stream_options", "prompt_cache_key",
     "cache_control")
)  # fmt: skip
_PARAMETERS: Final = frozenset(
    ("temperature", "top_p", "max_tokens", "stop", "seed", "reasoning", "extra", "schema", "max_context_tokens")
)
_SKIPPED_FOLDERS: Final = re.compile(r"\..*|node_modules|site-packages|__pycache__|venv|build|dist")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to look at in one cassette; `kind` is `unreadable`, `secret`, `stale` or `unused`."""

    path: Path
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}: {self.message}"


def check(folder: Path, router: Router, root: Path) -> list[Finding]:
    """Return what is wrong with the cassettes in `folder`; `root` is where the tests that may use them are."""
    files = sorted((*folder.rglob("*.yaml"), *folder.rglob("*.yml")))
    sources = "\n".join(_sources(root))
    found: list[Finding] = []
    for path in files:
        found += [Finding(path, "secret", message) for message in _secrets(path)]
        found += _readable(path, router)
        if not _is_mentioned(path, folder, sources):
            found.append(Finding(path, "unused", "no test or program under this folder mentions it; delete it"))
    return found


def _readable(path: Path, router: Router) -> list[Finding]:
    from vcr.persisters.filesystem import CassetteNotFoundError  # type: ignore[import-untyped]  # vcrpy has no types

    from llmrouter.cassettes.files import read

    try:
        interactions = read(path)
    except LLMRouterError as error:
        return [Finding(path, "unreadable", str(error).removeprefix(f"{path}: "))]
    except CassetteNotFoundError:
        return [Finding(path, "unreadable", "the file is empty; delete it, or record it again")]
    stale = dict.fromkeys(message for each in interactions for message in _stale(each, router))
    return [Finding(path, "stale", message) for message in stale]


# ------------------------------------------------------------------------------------------------ stale


def _stale(interaction: Mapping[str, Any], router: Router) -> Iterator[str]:
    """Give what a route would ask differently today."""
    name, target = interaction.get("route"), interaction.get("target")
    if not name or not target:
        return  # recorded from an SDK, beside any route
    try:
        plan = router.plan(name)
    except LLMRouterError:
        yield f"there is no route {name!r} any more"
        return
    rung = next((each for each in plan.rungs if each.target == target), None)
    overrides = frozenset(interaction.get("overrides") or ())
    if rung is None and "fallbacks" in overrides:
        return
    if rung is None:
        targets = ", ".join(each.target for each in plan.rungs)
        yield f"route {name!r} no longer asks {target}; it asks {targets}"
    elif not overrides & _PARAMETERS:  # else the call has said itself what it wants
        yield from (f"route {name!r}, {target}: {each}" for each in _changed(interaction, plan, rung))


def _changed(interaction: Mapping[str, Any], plan: RoutePlan, rung: RungPlan) -> Iterator[str]:
    try:
        recorded = json.loads(interaction["request"]["body"])
    except (ValueError, TypeError):
        return
    if not isinstance(recorded, dict) or not {"messages", "contents", "input"} & recorded.keys():
        return
    if "embed" in interaction["request"]["uri"].lower():
        return  # vectors have no parameters
    before, now = _decided(recorded), _decided(_body(plan, rung))
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old != new:
            yield f"{name} was {_told(old)} when it was recorded, and is {_told(new)} now"


def _body(plan: RoutePlan, rung: RungPlan) -> dict[str, Any]:
    """Return what the route would send today, for any conversation."""
    from llmrouter.pipeline.call import make_call

    call = make_call(plan, "text", {})
    return rung.provider.codec.encode(call.request(rung, call.messages))


def _decided(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the route decides of a body; Gemini's settings are one level down."""
    flat = {name: value for name, value in body.items() if name not in _OF_THE_CALL and name != "generationConfig"}
    return {**flat, **(body.get("generationConfig") or {})}


def _told(value: Any) -> str:
    text = "not set" if value is None else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


# ------------------------------------------------------------------------------------------------ secrets, unused files


def _secrets(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    yield from dict.fromkeys(f"it looks as if a key is in it: {each}" for each in leaks(text))
    for name, value in secret_variables(os.environ):
        if Scrubber({name: value}).holds(text):
            yield f"the value of {name} is in it; revoke that key if this file has been published"


def _sources(root: Path) -> Iterable[str]:
    """Give the text of every Python file of a project."""
    for folder, folders, files in os.walk(root):
        folders[:] = [each for each in folders if not _SKIPPED_FOLDERS.fullmatch(each)]
        for each in files:
            if each.endswith(".py"):
                yield Path(folder, each).read_text(encoding="utf-8", errors="replace")


def _is_mentioned(path: Path, folder: Path, sources: str) -> bool:
    """Whether the code has the name of a cassette, or the test that it is named after."""
    inside = path.relative_to(folder).with_suffix("").as_posix()
    test = path.stem.split("-")[0].rpartition(".")[2]  # TestClass.test_name-parameter
    return any(re.search(rf"(?<!\w){re.escape(each)}(?!\w)", sources) for each in (inside, path.stem, test))
