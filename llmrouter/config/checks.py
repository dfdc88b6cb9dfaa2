"""Mistakes that only show across several values of the file, found in its plain data.

They work on data that may be wrong in other ways, so that one report holds every mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from llmrouter.config.fields import Surroundings
from llmrouter.config.problems import Finding, Path, dotted, missing
from llmrouter.units import shown

_NAME: Final = re.compile(r"\w[\w.-]*")


def across(data: Mapping[str, Any], surroundings: Surroundings) -> Iterator[Finding]:
    """Yield what is wrong with names, kinds and chains."""
    for section, word in (("providers", "provider"), ("routes", "route")):
        for name in _map(data.get(section)):
            if not _NAME.fullmatch(str(name)):
                hint = "use letters, digits, `_`, `-` and `.`"
                yield Finding((section, name), f"{shown(name)} cannot name a {word}", hint, at_key=True)
    for name, provider in _map(data.get("providers")).items():
        if name not in surroundings.kinds and "kind" not in _map(provider):
            hint = "write `kind: openai` for an endpoint that speaks OpenAI's protocol"
            yield missing(("providers", name, "kind"), hint)
    for name, route in _map(data.get("routes")).items():
        yield from _repeated(("routes", name), _map(route))


def _repeated(path: Path, route: Mapping[str, Any]) -> Iterator[Finding]:
    fallbacks = route.get("fallbacks")
    places: list[tuple[Path, Any]] = [(("model",), route.get("model"))]
    places += [
        (("fallbacks", index), rung)
        for index, rung in enumerate(fallbacks if isinstance(fallbacks, list | tuple) else ())
    ]
    seen: list[tuple[Path, Mapping[str, Any]]] = []
    for place, rung in places:
        facts = _facts(rung)
        twin = next((earlier for earlier, others in seen if others == facts), None)
        if twin and facts.get("model"):
            message = f"the chain already asks {shown(facts['model'])} in the same way, at `{dotted(twin)}`"
            yield Finding((*path, *place), message, "remove it, or change its params, timeouts or retry")
        seen.append((place, facts))


def _facts(rung: Any) -> Mapping[str, Any]:
    """Return what makes a rung differ from another; its weight does not."""
    facts = {"model": rung} if isinstance(rung, str) else _map(rung)
    return {key: value for key, value in facts.items() if key != "weight" and value not in (None, {})}


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
