"""The routes file in the making: names for its providers, variables for its keys, and what has to be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from llmrouter.config.fields import BUILT_IN, KINDS, PRESETS
from llmrouter.config.problems import dotted
from llmrouter.importing.source import Hidden, Note, Section, Variable, is_no_key, variable_name
from llmrouter.importing.writing import Alias, Place
from llmrouter.providers import registry

_NEED_NO_ENTRY: Final = frozenset({*BUILT_IN, *PRESETS})
_RESERVED: Final = frozenset({*KINDS, *PRESETS})  # an entry of such a name is of that kind
_NOT_IN_A_NAME: Final = re.compile(r"[^\w.-]+")


class Draft:
    """What a converter fills in. `data` is the routes file, `notes` the report, `remarks` the comments."""

    def __init__(self, notes: list[Note], variables: set[str]) -> None:
        self.notes = notes
        self.remarks: dict[Place, str] = {}
        self.defaults: dict[str, Any] = {}
        self.routes: dict[str, Any] = {}
        self._providers: dict[str, dict[str, Any]] = {}
        self._prices: dict[str, dict[str, Any]] = {}
        self._variables = set(variables)
        self._hidden: dict[int, str] = {}

    @property
    def data(self) -> dict[str, Any]:
        """The routes file, without the sections that have nothing in them."""
        sections = {
            "providers": self._providers,
            "defaults": self.defaults,
            "prices": self._prices,
            "routes": self.routes,
        }
        return {"version": 1} | {name: section for name, section in sections.items() if section}

    # -------------------------------------------------------------------------------------- keys and text

    def secret(self, value: Any, wanted: str, where: Section, key: str) -> str | None:
        """Return how the file refers to a key: `${NAME}`. One that was written out is reported, and stays unknown.

        `wanted` is the variable to name then. A word that says "no key" becomes `unused`.
        """
        if isinstance(value, Variable):
            return f"${{{value.name}}}"
        if isinstance(value, Hidden):
            return self._variable(value, wanted, where, key)
        return "unused" if isinstance(value, str) and is_no_key(value) and value.strip() else None

    def text(self, value: Any, wanted: str, where: Section, key: str) -> str | None:
        """Return a text for `providers`, where variables are allowed; None for what is no text."""
        if isinstance(value, Variable | Hidden):
            return self.secret(value, wanted, where, key)
        if value is None or isinstance(value, Mapping | list | bool):
            return None
        return str(value).strip().replace("${", "$${") or None

    def url(self, value: Any, wanted: str, where: Section, key: str) -> str | None:
        """Return a base URL; what is none becomes a variable, which is reported."""
        text = self.text(value, wanted, where, key)
        if text is None or text.startswith(("http://", "https://", "${")):
            return text.rstrip("/") if text else None
        name = self._unused(wanted)
        where.note(f"is not a URL; set {name} to one that starts with http:// or https://", key)
        return f"${{{name}}}"

    def _variable(self, value: Hidden, wanted: str, where: Section, key: str) -> str:
        name = self._hidden.get(value.number)
        if name is None:
            name = self._hidden[value.number] = self._unused(wanted)
        origin = "stands for a key in Portkey's vault" if key == "virtual_key" else "a key is written into the file"
        where.note(f"{origin}; put the key into the environment or `.env` as {name}", key)
        return f"${{{name}}}"

    def _unused(self, wanted: str) -> str:
        name = _numbered(variable_name(wanted), self._variables, "_")
        self._variables.add(name)
        return name

    # -------------------------------------------------------------------------------------- names

    def provider(self, kind: str, entry: Mapping[str, Any], near: str = "") -> str:
        """Return the name under which `providers` has this entry of `kind`; equal entries share one.

        `near` is what to call it where it is not the only one of its kind.
        """
        entry = {key: value for key, value in entry.items() if value not in (None, {}, [])}
        if entry.get("api_key") in {f"${{{name}}}" for name in usual_variables(kind)}:
            del entry["api_key"]
        plain = not entry
        if plain and kind in _NEED_NO_ENTRY:
            return kind
        full = {"kind": kind} | entry
        for name, known in self._providers.items():
            if ({"kind": name} | known) == full:
                return name
        name = self._name(kind, entry, near)
        self._providers[name] = entry if name == kind and entry else full
        return name

    def declare(self, provider: str) -> None:
        """Let the file name a provider that needs no entry, since no route does."""
        self._providers.setdefault(provider, {})

    def _name(self, kind: str, entry: Mapping[str, Any], near: str) -> str:
        hint = slug(near) or _host_name(entry.get("base_url")) or _key_name(entry.get("api_key"))
        if kind not in _NEED_NO_ENTRY and kind not in self._providers:
            return kind
        name = hint if kind in hint else f"{kind}-{hint}" if hint else kind
        return _numbered(name, {*self._providers, *_RESERVED}, "-")

    def route_name(self, name: str, where: Section, key: str) -> str:
        """Return `name` as a route may be called; a change is reported."""
        allowed = _NOT_IN_A_NAME.sub("-", name).strip("-.") or "route"
        allowed = allowed if re.match(r"\w", allowed) else f"r{allowed}"
        if allowed != name:
            where.note(f"a route's name has no such characters: this one is called {allowed}", key)
        return allowed

    def price(self, target: str, price: Mapping[str, Any]) -> None:
        """Give a target its price, in USD per million tokens."""
        if price:
            self._prices[target] = dict(price)

    def alias(self, name: str, route: str) -> None:
        """Let `name` be another name of `route`."""
        self.routes[name] = Alias(route)


def slug(text: str) -> str:
    """Return `text` as part of a provider's name: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def usual_variables(kind: str) -> tuple[str, ...]:
    """Return the variables that hold the key of a kind, the first one first."""
    return registry.settings(kind, {"kind": kind}, {}).key_variables


def place_of(where: Section, *keys: str | int) -> str:
    """Return a place in the source as comments show it."""
    return dotted((*where.path, *keys))


def _host_name(url: Any) -> str:
    host = urlsplit(url).hostname if isinstance(url, str) and url.startswith("http") else None
    if host is None:
        return ""
    if host in {"localhost", "host.docker.internal"} or host.startswith(("127.", "0.")):
        return "local"
    return slug(host.split(".")[0] if not host[0].isdigit() else host)


def _key_name(reference: Any) -> str:
    found = re.fullmatch(r"\$\{(\w+)\}", str(reference))
    return slug(re.sub(r"_?(API_?)?(KEY|TOKEN)(?=_|$)", "", found[1], flags=re.IGNORECASE)) if found else ""


def _numbered(name: str, taken: set[str], joint: str) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}{joint}{number}" in taken:
        number += 1
    return f"{name}{joint}{number}"
